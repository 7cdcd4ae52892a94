// What an answer of AWS means for the request it answers. Pure.
//
// AWS throttles with HTTP 400 and refuses keys with 400 or 403, so the code in the body decides and
// the status only where there is none. Code lists: "Retry behavior" in AWS's SDKs and Tools
// Reference Guide, and "Common Errors" in the CloudWatch API Reference.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "collector/aws/http_client.h"

namespace ridgeline::collector {

enum class AnswerClass {
    ok,
    throttled,    // send again, more slowly
    transient,    // send again
    credentials,  // the token has expired: fetch a new one, send again
    denied,      // the keys or their policy do not allow it: an operator must act; try again rarely
    clock_skew,  // sign with the server's time, send again
    too_large,   // split, send again
    permanent,   // something in this request is wrong: find it, leave it out
};
inline constexpr std::size_t kAnswerClassCount = 8;
std::string_view to_string(AnswerClass answer_class);

struct Answer {
    AnswerClass answer_class = AnswerClass::ok;
    int status = 0;
    std::string code;     // AWS's own, printable, at most 128 bytes; empty if none was given
    std::string message;  // AWS's own, printable, at most 512 bytes
};

// Reads the code from x-amzn-query-error, the JSON's __type, or the query protocol's XML.
Answer classify_answer(const HttpResponse& response);

// Whether a request that was answered so may have been carried out all the same: AWS failed in the
// middle of it, or something on the way lost its answer (500, 502, 504).
bool may_have_been_done(const Answer& answer);

// Whether it is this operation that the keys may not do, or that the endpoint does not know.
bool forbids_operation(const Answer& answer);

// N of "MetricData.member.N" in AWS's message, counted from 1: the datum at fault, if it says so.
std::optional<std::size_t> refused_member(const Answer& answer);

AnswerClass class_of_code(std::string_view code, int status);

}  // namespace ridgeline::collector
