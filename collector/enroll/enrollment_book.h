// What is kept of enrolled hosts and of tokens: a SQLite database, and all of it in memory, since
// every handshake asks.
//
// Each change is durable before it is told to anybody: an agent that was told it is enrolled stays
// so through a power cut. Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/state/sqlite.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

using Tags = std::map<std::string, std::string>;

struct TokenRecord {
    std::string id;  // 8 hexadecimal digits
    std::string public_key;
    std::int64_t created_ms = 0;
    std::int64_t expires_ms = 0;
    std::uint32_t uses_max = 1;
    std::uint32_t uses = 0;
    Tags tags;
};

struct EnrolledHost {
    std::string host;
    std::string key;
    std::string next_key;  // announced and not used yet; empty as a rule
    std::string token;     // the id of the one it came with
    std::string name;      // what people call it; empty: its id
    std::int64_t enrolled_ms = 0;
};

class EnrollmentBook {
  public:
    static Result<std::unique_ptr<EnrollmentBook>> open(const std::filesystem::path& file);

    // By the present or the announced key.
    const EnrolledHost* host_of_key(std::string_view key) const;
    const EnrolledHost* host(std::string_view id) const;
    const std::map<std::string, EnrolledHost, std::less<>>& hosts() const { return hosts_; }
    const std::map<std::string, TokenRecord, std::less<>>& tokens() const { return tokens_; }
    const TokenRecord* token_of_key(std::string_view key) const;
    // A key that was taken from a host for good.
    bool is_revoked(std::string_view key) const { return revoked_.contains(key); }

    Result<void> add_token(const TokenRecord& token);
    // Errc::not_found.
    Result<void> remove_token(std::string_view id);
    // Expired ones, as of `now_ms`.
    Result<void> forget_tokens(std::int64_t now_ms);
    // Uses the token once; host and key are new.
    Result<void> add_host(const EnrolledHost& host);
    Result<void> announce_key(std::string_view host, std::string_view key);
    // The announced key has been used: the old one is no longer valid.
    Result<void> promote_key(std::string_view host);
    // No key of the host is valid any more, `also` (one that is not in the book) included.
    Result<void> revoke(std::string_view host, std::string_view also, std::int64_t now_ms);
    // For hosts that are not in the book as well: their key is in a file.
    Result<void> rename(std::string_view host, std::string_view name);
    std::string name_of(std::string_view host) const;

  private:
    explicit EnrollmentBook(Database database) : database_(std::move(database)) {}
    Result<void> load();
    void index(const EnrolledHost& host);
    void unindex(const EnrolledHost& host);

    Database database_;
    std::map<std::string, EnrolledHost, std::less<>> hosts_;
    std::map<std::string, std::string, std::less<>> host_by_key_;
    std::map<std::string, TokenRecord, std::less<>> tokens_;  // by id
    std::map<std::string, std::string, std::less<>> token_by_key_;
    std::map<std::string, std::string, std::less<>> revoked_;  // key -> host
    std::map<std::string, std::string, std::less<>> names_;
};

}  // namespace ridgeline::collector
