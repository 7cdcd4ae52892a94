#include "collector/enroll/enrollment.h"

#include <algorithm>
#include <cstdio>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/log/log.h"
#include "common/net/enroll_token.h"

namespace ridgeline::collector {

namespace {

// Tag keys become attributes, CloudWatch dimensions and TOML keys of the agent's configuration.
bool is_tag_key(std::string_view key) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/";
    return !key.empty() && key.size() <= 128 &&
           key.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool is_plain_text(std::string_view text) {
    return std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
}

// Eight digits that name the token in lists; not a secret.
std::string id_of(std::string_view public_key) {
    char id[9];
    std::snprintf(id, sizeof id, "%08x",
                  crc32c(std::as_bytes(std::span(public_key.data(), public_key.size()))));
    return id;
}

}  // namespace

std::optional<Admission> Enrollment::admit(std::string_view key) {
    if (book_.is_revoked(key)) return {};
    if (const EnrolledHost* host = book_.host_of_key(key))
        return Admission{Admission::Kind::host, host->host};
    if (const TokenRecord* token = book_.token_of_key(key)) {
        if (token->expires_ms <= to_unix_ms(clock_.wall_now())) return {};
        return Admission{Admission::Kind::token, token->id};
    }
    // Last: for a key it does not know it looks at the disk.
    if (auto host = files_.find(key)) return Admission{Admission::Kind::host, std::move(*host)};
    return {};
}

void Enrollment::on_message_with(std::string_view host, std::string_view key) {
    const EnrolledHost* known = book_.host(host);
    if (known == nullptr || known->next_key != key) return;
    if (const auto promoted = book_.promote_key(host); !promoted) {
        static log::RateLimit limit(6);
        limit.write(log::Level::error, "a host's new key could not be stored; both stay valid",
                    {{"host", host}, {"error", promoted.error().context}});
        return;
    }
    ++stats_.keys_changed;
    log::notice("a host has changed its key; the old one is no longer valid", {{"host", host}});
}

Result<NewToken> Enrollment::create_token(const TokenRequest& request) {
    using std::chrono::milliseconds;
    if (request.lifetime < milliseconds{1000} || request.lifetime > kTokenLifetimeMax)
        return fail(Errc::invalid_argument, "a token lives 1s to 366d");
    if (request.uses_max == 0 || request.uses_max > kTokenUsesMax)
        return fail(Errc::invalid_argument, "a token is used 1 to 100000 times");
    if (request.tags.size() > kTokenTagsMax)
        return fail(Errc::invalid_argument, "a token gives at most 32 tags");
    for (const auto& [key, value] : request.tags) {
        if (!is_tag_key(key))
            return fail(Errc::invalid_argument,
                        "\"" + printable(key, 100) +
                            "\" is no name for a tag: letters, digits and . _ - : /");
        if (value.empty() || value.size() > 255 || !is_plain_text(value))
            return fail(Errc::invalid_argument,
                        "the value of tag " + key + " must be 1 to 255 characters of one line");
    }
    tidy();
    if (book_.tokens().size() >= kTokensMax)
        return fail(Errc::invalid_argument,
                    "there are 1000 tokens; revoke some (ridgeline token list)");
    RL_ASSIGN_OR_RETURN(net::IssuedToken issued, net::issue_token(server_key_, request.endpoints));
    NewToken token;
    token.line = std::move(issued.line);
    token.record.id = id_of(issued.public_z85);
    token.record.public_key = std::move(issued.public_z85);
    token.record.created_ms = to_unix_ms(clock_.wall_now());
    token.record.expires_ms = token.record.created_ms + request.lifetime.count();
    token.record.uses_max = request.uses_max;
    token.record.tags = request.tags;
    RL_TRY(book_.add_token(token.record));
    log::notice("enrolment token made", {{"token", token.record.id},
                                         {"uses", std::uint64_t{request.uses_max}},
                                         {"lives", format_duration(request.lifetime)}});
    return token;
}

wire::EnrollReply Enrollment::refuse(wire::EnrollResult result, std::string detail) {
    ++stats_.refused;
    static log::RateLimit limit(10);
    limit.write(log::Level::warning, "enrolment refused", {{"why", detail}});
    return {result, std::move(detail), {}};
}

std::optional<wire::EnrollReply> Enrollment::on_newcomer(std::string_view token,
                                                         std::string_view bytes) {
    const auto message = wire::decode(bytes, wire::Limits{});
    const auto* request = message ? std::get_if<wire::Enroll>(&*message) : nullptr;
    if (request != nullptr) return enroll(token, *request);
    ++stats_.ignored;
    static log::RateLimit limit(6);
    limit.write(log::Level::warning, "a message that is no enrolment was ignored",
                {{"token", token},
                 {"error", message ? std::string("another kind") : message.error().context}});
    return std::nullopt;
}

wire::EnrollReply Enrollment::enroll(std::string_view token_id, const wire::Enroll& request) {
    using wire::EnrollResult;
    const auto token = book_.tokens().find(token_id);
    if (token == book_.tokens().end())
        return refuse(EnrollResult::token_used_up, "the token is no longer valid");
    const Tags tags = token->second.tags;
    const std::string& host = request.host_id;
    const std::string& key = request.public_key;
    if (!is_host_id(host)) {
        return refuse(EnrollResult::invalid,
                      "\"" + printable(host, 100) +
                          "\" is no host id: letters, digits and . _ - : @, at most 255");
    }
    if (!net::is_key_text(key)) return refuse(EnrollResult::invalid, "the public key is none");
    if (book_.is_revoked(key) || book_.token_of_key(key) != nullptr)
        return refuse(EnrollResult::invalid, "this key was revoked; make a new one");
    files_.refresh();
    const auto by_file = files_.key_of(host);
    const EnrolledHost* known = book_.host(host);
    const bool known_so = (known != nullptr && known->key == key) || by_file == key;
    if (known_so)
        return {EnrollResult::enrolled, "", tags};  // the answer was lost: here it is again
    if (known != nullptr || (by_file && !book_.is_revoked(*by_file))) {
        return refuse(
            EnrollResult::host_taken,
            "host " + host +
                " is enrolled with another key; if it was made anew, run: ridgeline hosts revoke " +
                host);
    }
    if (const auto owner = admit(key); owner) {
        return refuse(EnrollResult::invalid, "this key is enrolled for host " + owner->id);
    }
    if (token->second.uses >= token->second.uses_max)
        return refuse(EnrollResult::token_used_up,
                      "the token has been used up; make a new one with: ridgeline token create");
    EnrolledHost enrolled{host, key, "", std::string(token_id), "", to_unix_ms(clock_.wall_now())};
    if (const auto added = book_.add_host(enrolled); !added) {
        log::error("an enrolment could not be stored",
                   {{"host", host}, {"error", added.error().context}});
        return refuse(EnrollResult::not_stored,
                      "the collector could not store it; try again later");
    }
    ++stats_.enrolled;
    log::notice("host enrolled", {{"host", host}, {"token", token_id}});
    return {EnrollResult::enrolled, "", tags};
}

wire::KeyChangeReply Enrollment::change_key(std::string_view host, const wire::KeyChange& request) {
    const EnrolledHost* known = book_.host(host);
    if (known == nullptr) {
        return {false, "this host's key is in a file of the collector; replace " +
                           std::string(host) + ".pub there"};
    }
    if (known->key == request.public_key || known->next_key == request.public_key)
        return {true, ""};
    if (!net::is_key_text(request.public_key)) return {false, "the public key is none"};
    if (book_.is_revoked(request.public_key) || admit(request.public_key))
        return {false, "this key was used before; make a new one"};
    if (const auto stored = book_.announce_key(host, request.public_key); !stored) {
        log::error("a key change could not be stored",
                   {{"host", host}, {"error", stored.error().context}});
        return {false, "the collector could not store it; try again later"};
    }
    log::info("a host has announced a new key", {{"host", host}});
    return {true, ""};
}

Result<std::string> Enrollment::revoke(std::string_view host) {
    files_.refresh();
    const auto by_file = files_.key_of(host);
    RL_TRY(book_.revoke(host, by_file.value_or(""), to_unix_ms(clock_.wall_now())));
    log::notice("host revoked", {{"host", host}});
    if (!by_file) return std::string();
    return "its key is banned; the file " + files_.file_of(host).string() +
           " has no effect any more and can be removed";
}

Result<void> Enrollment::rename(std::string_view host, std::string_view name) {
    if (!is_host_id(host)) return fail(Errc::not_found, "no host " + printable(host, 100));
    if (name.size() > kHostNameMax || !is_plain_text(name))
        return fail(Errc::invalid_argument, "a name is at most 255 characters of one line");
    return book_.rename(host, name);
}

std::string_view Enrollment::enrolled_by(std::string_view host) const {
    if (book_.host(host) != nullptr) return "token";
    const auto key = files_.key_of(host);
    return key && !book_.is_revoked(*key) ? "file" : "no";
}

void Enrollment::tidy() {
    if (const auto done = book_.forget_tokens(to_unix_ms(clock_.wall_now())); !done)
        log::warning("expired tokens could not be removed", {{"error", done.error().context}});
}

}  // namespace ridgeline::collector
