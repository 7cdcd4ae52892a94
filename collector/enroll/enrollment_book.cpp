#include "collector/enroll/enrollment_book.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace ridgeline::collector {

namespace {

constexpr const char* kTables = R"sql(
CREATE TABLE IF NOT EXISTS token(
  id TEXT PRIMARY KEY, public_key TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
  uses_max INTEGER NOT NULL, uses INTEGER NOT NULL, tags TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host(
  host TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, next_key TEXT UNIQUE, token TEXT NOT NULL,
  enrolled_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked_key(key TEXT PRIMARY KEY, host TEXT NOT NULL, revoked_ms INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS name(host TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
)sql";

std::string encode_tags(const Tags& tags) {
    return nlohmann::json(tags).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Tags decode_tags(const std::string& text) {
    Tags tags;
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return tags;
    for (const auto& [key, value] : json.items())
        if (value.is_string()) tags[key] = value.get<std::string>();
    return tags;
}

Result<void> run(Database& database, const char* sql, std::initializer_list<std::string_view> texts,
                 std::initializer_list<std::int64_t> integers = {}) {
    RL_ASSIGN_OR_RETURN(Statement statement, database.prepare(sql));
    int index = 1;
    for (const std::string_view text : texts)
        statement.bind(index++, text);
    for (const std::int64_t integer : integers)
        statement.bind(index++, integer);
    RL_TRY(statement.step());
    return {};
}

// All or nothing.
template <class Work>
Result<void> in_transaction(Database& database, Work work) {
    RL_TRY(database.execute("BEGIN IMMEDIATE"));
    Result<void> done = work();
    if (done) done = database.execute("COMMIT");
    if (!done) (void)database.execute("ROLLBACK");
    return done;
}

}  // namespace

Result<std::unique_ptr<EnrollmentBook>> EnrollmentBook::open(const std::filesystem::path& file) {
    RL_ASSIGN_OR_RETURN(Database database, Database::open(file, Database::Durability::each));
    std::unique_ptr<EnrollmentBook> book(new EnrollmentBook(std::move(database)));
    if (auto loaded = book->load(); !loaded)
        return fail(std::move(loaded).error().within(file.string()));
    return book;
}

Result<void> EnrollmentBook::load() {
    RL_ASSIGN_OR_RETURN(Statement version, database_.prepare("PRAGMA user_version"));
    RL_ASSIGN_OR_RETURN(const bool has_version, version.step());
    if (has_version && version.integer(0) > 1) {
        return fail(Errc::unsupported,
                    "was written by a newer ridgeline-collector; install that one again");
    }
    version.reset();
    RL_TRY(database_.execute(kTables));

    RL_ASSIGN_OR_RETURN(
        Statement tokens,
        database_.prepare(
            "SELECT id, public_key, created_ms, expires_ms, uses_max, uses, tags FROM token"));
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, tokens.step());
        if (!row) break;
        TokenRecord token{tokens.text(0),
                          tokens.text(1),
                          tokens.integer(2),
                          tokens.integer(3),
                          static_cast<std::uint32_t>(tokens.integer(4)),
                          static_cast<std::uint32_t>(tokens.integer(5)),
                          decode_tags(tokens.text(6))};
        token_by_key_[token.public_key] = token.id;
        tokens_[token.id] = std::move(token);
    }
    RL_ASSIGN_OR_RETURN(Statement names, database_.prepare("SELECT host, name FROM name"));
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, names.step());
        if (!row) break;
        names_[names.text(0)] = names.text(1);
    }
    RL_ASSIGN_OR_RETURN(
        Statement hosts,
        database_.prepare("SELECT host, key, next_key, token, enrolled_ms FROM host"));
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, hosts.step());
        if (!row) break;
        EnrolledHost host{hosts.text(0), hosts.text(1),          hosts.text(2),
                          hosts.text(3), name_of(hosts.text(0)), hosts.integer(4)};
        index(host);
        hosts_[host.host] = std::move(host);
    }
    RL_ASSIGN_OR_RETURN(Statement revoked, database_.prepare("SELECT key, host FROM revoked_key"));
    for (;;) {
        RL_ASSIGN_OR_RETURN(const bool row, revoked.step());
        if (!row) break;
        revoked_[revoked.text(0)] = revoked.text(1);
    }
    return {};
}

void EnrollmentBook::index(const EnrolledHost& host) {
    host_by_key_[host.key] = host.host;
    if (!host.next_key.empty()) host_by_key_[host.next_key] = host.host;
}

void EnrollmentBook::unindex(const EnrolledHost& host) {
    host_by_key_.erase(host.key);
    host_by_key_.erase(host.next_key);
}

const EnrolledHost* EnrollmentBook::host_of_key(std::string_view key) const {
    const auto it = host_by_key_.find(key);
    return it == host_by_key_.end() ? nullptr : host(it->second);
}

const EnrolledHost* EnrollmentBook::host(std::string_view id) const {
    const auto it = hosts_.find(id);
    return it == hosts_.end() ? nullptr : &it->second;
}

const TokenRecord* EnrollmentBook::token_of_key(std::string_view key) const {
    const auto it = token_by_key_.find(key);
    return it == token_by_key_.end() ? nullptr : &tokens_.find(it->second)->second;
}

std::string EnrollmentBook::name_of(std::string_view host) const {
    const auto it = names_.find(host);
    return it == names_.end() ? std::string() : it->second;
}

Result<void> EnrollmentBook::add_token(const TokenRecord& token) {
    RL_ASSIGN_OR_RETURN(
        Statement insert,
        database_.prepare("INSERT INTO token(id, public_key, created_ms, expires_ms, uses_max, "
                          "uses, tags) VALUES(?,?,?,?,?,?,?)"));
    const std::string tags = encode_tags(token.tags);
    insert.bind(1, std::string_view(token.id)).bind(2, std::string_view(token.public_key));
    insert.bind(3, token.created_ms).bind(4, token.expires_ms);
    insert.bind(5, std::int64_t{token.uses_max}).bind(6, std::int64_t{token.uses});
    insert.bind(7, std::string_view(tags));
    RL_TRY(insert.step());
    token_by_key_[token.public_key] = token.id;
    tokens_[token.id] = token;
    return {};
}

Result<void> EnrollmentBook::remove_token(std::string_view id) {
    const auto it = tokens_.find(id);
    if (it == tokens_.end()) return fail(Errc::not_found, "no token " + std::string(id));
    RL_TRY(run(database_, "DELETE FROM token WHERE id = ?", {id}));
    token_by_key_.erase(it->second.public_key);
    tokens_.erase(it);
    return {};
}

Result<void> EnrollmentBook::forget_tokens(std::int64_t now_ms) {
    for (auto it = tokens_.begin(); it != tokens_.end();) {
        const std::string id = it->first;
        const bool expired = it->second.expires_ms <= now_ms;
        ++it;
        if (expired) RL_TRY(remove_token(id));
    }
    return {};
}

Result<void> EnrollmentBook::add_host(const EnrolledHost& host) {
    const auto stored = in_transaction(database_, [&]() -> Result<void> {
        RL_TRY(run(database_, "INSERT INTO host(host, key, token, enrolled_ms) VALUES(?,?,?,?)",
                   {host.host, host.key, host.token}, {host.enrolled_ms}));
        return run(database_, "UPDATE token SET uses = uses + 1 WHERE id = ?", {host.token});
    });
    if (!stored) return stored;
    if (const auto token = tokens_.find(host.token); token != tokens_.end()) ++token->second.uses;
    index(host);
    hosts_[host.host] = host;
    hosts_[host.host].name = name_of(host.host);
    return {};
}

Result<void> EnrollmentBook::announce_key(std::string_view host, std::string_view key) {
    const auto it = hosts_.find(host);
    if (it == hosts_.end()) return fail(Errc::not_found, "no enrolled host " + std::string(host));
    RL_TRY(run(database_, "UPDATE host SET next_key = ? WHERE host = ?", {key, host}));
    unindex(it->second);
    it->second.next_key = key;
    index(it->second);
    return {};
}

Result<void> EnrollmentBook::promote_key(std::string_view host) {
    const auto it = hosts_.find(host);
    if (it == hosts_.end() || it->second.next_key.empty()) return {};
    RL_TRY(
        run(database_, "UPDATE host SET key = next_key, next_key = NULL WHERE host = ?", {host}));
    unindex(it->second);
    it->second.key = std::exchange(it->second.next_key, {});
    index(it->second);
    return {};
}

Result<void> EnrollmentBook::revoke(std::string_view host, std::string_view also,
                                    std::int64_t now_ms) {
    const auto it = hosts_.find(host);
    std::vector<std::string> keys;
    if (!also.empty()) keys.emplace_back(also);
    if (it != hosts_.end()) {
        keys.push_back(it->second.key);
        if (!it->second.next_key.empty()) keys.push_back(it->second.next_key);
    }
    if (keys.empty()) return fail(Errc::not_found, "no enrolled host " + std::string(host));
    const auto stored = in_transaction(database_, [&]() -> Result<void> {
        for (const std::string& key : keys) {
            RL_TRY(run(database_,
                       "INSERT OR REPLACE INTO revoked_key(key, host, revoked_ms) VALUES(?,?,?)",
                       {key, host}, {now_ms}));
        }
        return run(database_, "DELETE FROM host WHERE host = ?", {host});
    });
    if (!stored) return stored;
    for (std::string& key : keys)
        revoked_[std::move(key)] = host;
    if (it != hosts_.end()) {
        unindex(it->second);
        hosts_.erase(it);
    }
    return {};
}

Result<void> EnrollmentBook::rename(std::string_view host, std::string_view name) {
    RL_TRY(name.empty() ? run(database_, "DELETE FROM name WHERE host = ?", {host})
                        : run(database_, "INSERT OR REPLACE INTO name(host, name) VALUES(?,?)",
                              {host, name}));
    names_[std::string(host)] = name;
    if (const auto it = hosts_.find(host); it != hosts_.end()) it->second.name = name;
    return {};
}

}  // namespace ridgeline::collector
