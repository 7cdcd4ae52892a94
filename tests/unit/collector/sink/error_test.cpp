#include "collector/sink/error.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

Answer answer_to(int status, std::string body, std::vector<HttpHeader> headers = {}) {
    return classify_answer({status, std::move(headers), std::move(body)});
}

std::string json_error(const std::string& type) {
    return R"({"__type":")" + type + R"(","message":"why"})";
}

}  // namespace

TEST_CASE("the code decides what an answer means", "[error]") {
    struct Row {
        int status;
        const char* code;
        AnswerClass expected;
    };
    const Row rows[] = {
        {400, "ThrottlingException", AnswerClass::throttled},
        {400, "Throttling", AnswerClass::throttled},
        {503, "SlowDown", AnswerClass::throttled},
        {500, "InternalServiceFault", AnswerClass::transient},
        {400, "RequestTimeout", AnswerClass::transient},
        {400, "ExpiredTokenException", AnswerClass::credentials},
        {403, "ExpiredToken", AnswerClass::credentials},
        {400, "RequestExpired", AnswerClass::clock_skew},
        {400, "InvalidSignatureException", AnswerClass::clock_skew},
        {403, "SignatureDoesNotMatch", AnswerClass::clock_skew},
        {400, "AccessDeniedException", AnswerClass::denied},
        {400, "UnrecognizedClientException", AnswerClass::denied},
        {403, "InvalidClientTokenId", AnswerClass::denied},
        {413, "RequestEntityTooLarge", AnswerClass::too_large},
        {400, "InvalidParameterValue", AnswerClass::permanent},
        {400, "InvalidParameterCombination", AnswerClass::permanent},
        {400, "MissingParameter", AnswerClass::permanent},
        {400, "SomethingNew", AnswerClass::permanent},
        {500, "SomethingNew", AnswerClass::transient},
        {403, "SomethingNew", AnswerClass::denied},
    };
    for (const Row& row : rows) {
        INFO(row.status << " " << row.code);
        const Answer json =
            answer_to(row.status, json_error("com.amazonaws.cloudwatch#" + std::string(row.code)));
        CHECK(json.answer_class == row.expected);
        CHECK(json.code == row.code);
        CHECK(json.message == "why");
        const Answer xml = answer_to(
            row.status, "<ErrorResponse><Error><Type>Sender</Type><Code>" + std::string(row.code) +
                            "</Code><Message>why</Message></Error></ErrorResponse>");
        CHECK(xml.answer_class == row.expected);
        CHECK(xml.code == row.code);
        CHECK(xml.message == "why");
    }
}

TEST_CASE("the status decides where there is no code", "[error]") {
    CHECK(answer_to(200, "{}").answer_class == AnswerClass::ok);
    CHECK(answer_to(408, "").answer_class == AnswerClass::transient);
    CHECK(answer_to(413, "<html>").answer_class == AnswerClass::too_large);
    CHECK(answer_to(429, "").answer_class == AnswerClass::throttled);
    CHECK(answer_to(502, "").answer_class == AnswerClass::transient);
    CHECK(answer_to(302, "").answer_class == AnswerClass::denied);
    CHECK(answer_to(407, "").answer_class == AnswerClass::denied);
}

TEST_CASE("the query protocol's code in the header counts", "[error]") {
    CHECK(answer_to(400, "", {{"x-amzn-query-error", "Throttling;Sender"}}).answer_class ==
          AnswerClass::throttled);
    CHECK(answer_to(400, json_error("NewName"), {{"x-amzn-query-error", "Throttling;Sender"}})
              .answer_class == AnswerClass::throttled);
}

TEST_CASE("hostile answers are harmless", "[error]") {
    const Answer answer = answer_to(
        400, R"({"__type":"a\nb\u001b[31m","message":")" + std::string(5000, 'x') + "\"}");
    CHECK(answer.code.find('\n') == std::string::npos);
    CHECK(answer.code.find('\x1b') == std::string::npos);
    CHECK(answer.message.size() <= 512);
    for (const std::string body :
         {"[]", "null", "{\"__type\":1}", "<Code>", "<Code></Cod", "\xff\xfe"})
        CHECK(answer_to(400, body).answer_class == AnswerClass::permanent);
    CHECK(answer_to(400, std::string(100'000, '[')).answer_class == AnswerClass::permanent);
}

TEST_CASE("the datum at fault is read from the message", "[error]") {
    const auto member = [](const char* message) {
        return refused_member({AnswerClass::permanent, 400, "", message});
    };
    CHECK(member("The value NaN for parameter MetricData.member.3.Value is invalid.") == 3U);
    CHECK(member("MetricData.member.12") == 12U);
    CHECK_FALSE(member("MetricData.member.0"));
    CHECK_FALSE(member("MetricData.member.x"));
    CHECK_FALSE(member("MetricData.member.99999999999999999999"));
    CHECK_FALSE(member("Namespace"));
}
