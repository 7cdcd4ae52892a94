// Who may come in: the front door's list, and the desk where newcomers with a token are enrolled.
//
// A key opens the door when it is enrolled by file (AllowList) or in the book, or when it is a
// token's; a revoked one never does, whatever a file says. A token's holder may enrol a host and
// nothing else. Pure but for the files underneath; loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/enroll/enrollment_book.h"
#include "collector/ingest/admission.h"
#include "collector/ingest/allow_list.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/wire/messages.h"

namespace ridgeline::collector {

inline constexpr std::chrono::hours kTokenLifetimeDefault{1};
inline constexpr std::chrono::hours kTokenLifetimeMax{24 * 366};
inline constexpr std::uint32_t kTokenUsesMax = 100'000;
inline constexpr std::size_t kTokenTagsMax = 32;
inline constexpr std::size_t kTokensMax = 1000;  // alive at a time
inline constexpr std::size_t kHostNameMax = 255;

struct TokenRequest {
    std::chrono::milliseconds lifetime = kTokenLifetimeDefault;
    std::uint32_t uses_max = 1;
    Tags tags;
    std::vector<std::string> endpoints;  // how agents reach the collector
};

struct NewToken {
    std::string line;  // shown once
    TokenRecord record;
};

struct EnrollmentStats {
    std::uint64_t enrolled = 0;
    std::uint64_t refused = 0;
    std::uint64_t ignored = 0;  // messages of token holders that are no Enroll
    std::uint64_t keys_changed = 0;
};

class Enrollment {
  public:
    Enrollment(AllowList& files, EnrollmentBook& book, const Clock& clock,
               std::string server_public_z85)
        : files_(files), book_(book), clock_(clock), server_key_(std::move(server_public_z85)) {}

    // Whoever presents this key in a handshake, or sent a message on a connection made with it.
    std::optional<Admission> admit(std::string_view key);
    // An enrolled host spoke with this key; an announced key takes over for good.
    void on_message_with(std::string_view host, std::string_view key);

    // Errc::invalid_argument says what is wrong with the request.
    Result<NewToken> create_token(const TokenRequest& request);
    Result<void> remove_token(std::string_view id) { return book_.remove_token(id); }
    // A message from the token's holder, who is heard in Enroll alone: its answer, if it has one.
    std::optional<wire::EnrollReply> on_newcomer(std::string_view token, std::string_view bytes);
    wire::EnrollReply enroll(std::string_view token, const wire::Enroll& request);
    wire::KeyChangeReply change_key(std::string_view host, const wire::KeyChange& request);
    // What is left for the operator to do, or nothing; Errc::not_found.
    Result<std::string> revoke(std::string_view host);
    Result<void> rename(std::string_view host, std::string_view name);
    // Drops what has expired.
    void tidy();

    // "token", "file" or "no".
    std::string_view enrolled_by(std::string_view host) const;
    const EnrollmentBook& book() const { return book_; }
    const EnrollmentStats& stats() const { return stats_; }

  private:
    wire::EnrollReply refuse(wire::EnrollResult result, std::string detail);

    AllowList& files_;
    EnrollmentBook& book_;
    const Clock& clock_;
    std::string server_key_;
    EnrollmentStats stats_;
};

}  // namespace ridgeline::collector
