#include "collector/enroll/enrollment.h"

#include <fstream>

#include "common/net/curve_keys.h"
#include "common/net/enroll_token.h"
#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::collector {
namespace {

using namespace std::chrono_literals;
using wire::EnrollResult;

std::string new_key() {
    return net::generate_key_pair()->public_z85;
}

struct Rig {
    test::TempDir dir;
    test::ManualClock clock;
    std::string server_key = new_key();
    AllowList files{dir.path() / "agents.d"};
    std::unique_ptr<EnrollmentBook> book;
    std::optional<Enrollment> desk;

    Rig() {
        std::filesystem::create_directory(dir.path() / "agents.d");
        restart();
    }
    void restart() {
        desk.reset();
        book.reset();
        book = EnrollmentBook::open(dir.path() / "enrollment.db").value();
        desk.emplace(files, *book, clock, server_key);
    }
    void enrol_by_file(const std::string& host, const std::string& key) {
        std::ofstream(dir.path() / "agents.d" / (host + ".pub")) << key << "\n";
        files.refresh();
    }
    NewToken token(std::uint32_t uses = 1, Tags tags = {}) {
        TokenRequest request;
        request.uses_max = uses;
        request.tags = std::move(tags);
        request.endpoints = {"tcp://collector:7171"};
        return desk->create_token(request).value();
    }
    EnrollResult enroll(const NewToken& token, const std::string& host, const std::string& key) {
        return desk->enroll(token.record.id, {host, key, "0.1.0"}).result;
    }
};

Admission host_admission(const std::string& id) {
    return {Admission::Kind::host, id};
}

TEST_CASE("a token lets one host in, and its key from then on", "[enroll]") {
    Rig rig;
    const NewToken token = rig.token(1, {{"role", "web"}});
    const auto parsed = net::parse_token(token.line);
    REQUIRE(parsed);
    REQUIRE(parsed->server_public_z85 == rig.server_key);
    REQUIRE(rig.desk->admit(parsed->keys.public_z85) ==
            Admission{Admission::Kind::token, token.record.id});

    const std::string key = new_key();
    REQUIRE_FALSE(rig.desk->admit(key));
    const auto reply = rig.desk->enroll(token.record.id, {"web-1", key, "0.1.0"});
    REQUIRE(reply.result == EnrollResult::enrolled);
    REQUIRE(reply.tags == Tags{{"role", "web"}});
    REQUIRE(rig.desk->admit(key) == host_admission("web-1"));

    // It is single-use, but an answer that was lost can be asked for again.
    REQUIRE(rig.enroll(token, "web-1", key) == EnrollResult::enrolled);
    REQUIRE(rig.enroll(token, "web-2", new_key()) == EnrollResult::token_used_up);
    REQUIRE(rig.book->tokens().at(token.record.id).uses == 1);

    rig.restart();
    REQUIRE(rig.desk->admit(key) == host_admission("web-1"));
    REQUIRE(rig.enroll(token, "web-3", new_key()) == EnrollResult::token_used_up);
}

TEST_CASE("a token's holder is heard in nothing but Enroll", "[enroll]") {
    Rig rig;
    const std::string token = rig.token().record.id;
    wire::Hello hello;
    hello.host_id = "web-1";
    CHECK_FALSE(rig.desk->on_newcomer(token, wire::encode(hello)));
    CHECK_FALSE(rig.desk->on_newcomer(token, "\xff\xff nonsense"));
    CHECK_FALSE(rig.desk->on_newcomer(token, ""));
    CHECK(rig.desk->stats().ignored == 3);
    CHECK(rig.book->hosts().empty());
    const auto reply =
        rig.desk->on_newcomer(token, wire::encode(wire::Enroll{"web-1", new_key(), "0.1.0"}));
    REQUIRE(reply);
    CHECK(reply->result == EnrollResult::enrolled);
    CHECK(rig.desk->stats().ignored == 3);
}

TEST_CASE("a token ends with its time, and with being revoked", "[enroll]") {
    Rig rig;
    const NewToken token = rig.token(10);
    rig.clock.advance(1h - 1ms);
    REQUIRE(rig.desk->admit(token.record.public_key));
    rig.clock.advance(1ms);
    REQUIRE_FALSE(rig.desk->admit(token.record.public_key));
    rig.desk->tidy();
    REQUIRE(rig.book->tokens().empty());
    REQUIRE(rig.enroll(token, "web-1", new_key()) == EnrollResult::token_used_up);

    const NewToken other = rig.token(10);
    REQUIRE(rig.desk->remove_token(other.record.id));
    REQUIRE_FALSE(rig.desk->admit(other.record.public_key));
    REQUIRE(rig.desk->remove_token(other.record.id).error().code == Errc::not_found);
}

TEST_CASE("a group's token is good for as many hosts as it says", "[enroll]") {
    Rig rig;
    const NewToken token = rig.token(3);
    for (const char* host : {"i-1", "i-2", "i-3"})
        REQUIRE(rig.enroll(token, host, new_key()) == EnrollResult::enrolled);
    REQUIRE(rig.enroll(token, "i-4", new_key()) == EnrollResult::token_used_up);
    REQUIRE(rig.desk->stats().enrolled == 3);
    REQUIRE(rig.desk->stats().refused == 1);
}

TEST_CASE("nobody takes over a host that has a key", "[enroll]") {
    Rig rig;
    const NewToken token = rig.token(10);
    REQUIRE(rig.enroll(token, "web-1", new_key()) == EnrollResult::enrolled);
    REQUIRE(rig.enroll(token, "web-1", new_key()) == EnrollResult::host_taken);
    rig.enrol_by_file("db-1", new_key());
    REQUIRE(rig.enroll(token, "db-1", new_key()) == EnrollResult::host_taken);
    // Nor gives one key to two hosts, or enrols the token's own.
    const std::string key = new_key();
    REQUIRE(rig.enroll(token, "web-2", key) == EnrollResult::enrolled);
    REQUIRE(rig.enroll(token, "web-3", key) == EnrollResult::invalid);
    REQUIRE(rig.enroll(token, "web-3", token.record.public_key) == EnrollResult::invalid);
    for (const char* bad : {"", "../etc", ".hidden", "a b", "x\ny"})
        REQUIRE(rig.enroll(token, bad, new_key()) == EnrollResult::invalid);
    REQUIRE(rig.enroll(token, "web-3", "no key") == EnrollResult::invalid);
    REQUIRE(rig.book->tokens().at(token.record.id).uses == 2);
}

TEST_CASE("a revoked host is out with every key it had, and may come back with a new one",
          "[enroll]") {
    Rig rig;
    const NewToken token = rig.token(10);
    const std::string key = new_key();
    const std::string announced = new_key();
    REQUIRE(rig.enroll(token, "web-1", key) == EnrollResult::enrolled);
    REQUIRE(rig.desk->change_key("web-1", {announced}).accepted);
    REQUIRE(rig.desk->revoke("web-1") == std::string());
    for (const bool restarted : {false, true}) {
        if (restarted) rig.restart();
        REQUIRE_FALSE(rig.desk->admit(key));
        REQUIRE_FALSE(rig.desk->admit(announced));
        REQUIRE(rig.enroll(token, "web-1", key) == EnrollResult::invalid);
        REQUIRE(rig.desk->enrolled_by("web-1") == "no");
    }
    REQUIRE(rig.desk->revoke("web-1").error().code == Errc::not_found);
    REQUIRE(rig.enroll(token, "web-1", new_key()) == EnrollResult::enrolled);
}

TEST_CASE("a host that was enrolled by file is revoked although the file stays", "[enroll]") {
    Rig rig;
    const std::string key = new_key();
    rig.enrol_by_file("db-1", key);
    REQUIRE(rig.desk->admit(key) == host_admission("db-1"));
    REQUIRE(rig.desk->enrolled_by("db-1") == "file");
    const auto remark = rig.desk->revoke("db-1");
    REQUIRE(remark);
    REQUIRE(remark->find("db-1.pub") != std::string::npos);
    REQUIRE_FALSE(rig.desk->admit(key));
    REQUIRE(rig.desk->enrolled_by("db-1") == "no");
    // With a token it comes back, under a new key.
    const std::string next = new_key();
    REQUIRE(rig.enroll(rig.token(), "db-1", next) == EnrollResult::enrolled);
    REQUIRE(rig.desk->admit(next) == host_admission("db-1"));
    REQUIRE_FALSE(rig.desk->admit(key));
}

TEST_CASE("a key changes without a moment in which none is valid", "[enroll]") {
    Rig rig;
    const std::string old_key = new_key();
    const std::string next_key = new_key();
    REQUIRE(rig.enroll(rig.token(), "web-1", old_key) == EnrollResult::enrolled);

    REQUIRE(rig.desk->change_key("web-1", {next_key}).accepted);
    REQUIRE(rig.desk->change_key("web-1", {next_key}).accepted);  // asked again
    for (const bool restarted : {false, true}) {
        if (restarted) rig.restart();
        REQUIRE(rig.desk->admit(old_key) == host_admission("web-1"));
        REQUIRE(rig.desk->admit(next_key) == host_admission("web-1"));
    }
    rig.desk->on_message_with("web-1", old_key);  // the agent has not turned yet
    REQUIRE(rig.desk->admit(old_key));
    rig.desk->on_message_with("web-1", next_key);
    for (const bool restarted : {false, true}) {
        if (restarted) rig.restart();
        REQUIRE_FALSE(rig.desk->admit(old_key));
        REQUIRE(rig.desk->admit(next_key) == host_admission("web-1"));
    }

    REQUIRE_FALSE(rig.desk->change_key("web-1", {"no key"}).accepted);
    REQUIRE(rig.enroll(rig.token(), "web-2", new_key()) == EnrollResult::enrolled);
    REQUIRE_FALSE(rig.desk->change_key("web-1", {rig.book->host("web-2")->key}).accepted);
    rig.enrol_by_file("db-1", new_key());
    REQUIRE_FALSE(rig.desk->change_key("db-1", {new_key()}).accepted);  // the file decides
}

TEST_CASE("a token is refused that makes no sense", "[enroll]") {
    Rig rig;
    const auto refused = [&](auto change) {
        TokenRequest request;
        request.endpoints = {"tcp://collector:7171"};
        change(request);
        const auto token = rig.desk->create_token(request);
        return !token && token.error().code == Errc::invalid_argument;
    };
    REQUIRE(refused([](TokenRequest& r) { r.lifetime = 0ms; }));
    REQUIRE(refused([](TokenRequest& r) { r.lifetime = 24h * 367; }));
    REQUIRE(refused([](TokenRequest& r) { r.uses_max = 0; }));
    REQUIRE(refused([](TokenRequest& r) { r.uses_max = 100'001; }));
    REQUIRE(refused([](TokenRequest& r) { r.tags = {{"a b", "x"}}; }));
    REQUIRE(refused([](TokenRequest& r) { r.tags = {{"role", ""}}; }));
    REQUIRE(refused([](TokenRequest& r) { r.tags = {{"role", "a\nb"}}; }));
    REQUIRE(refused([](TokenRequest& r) { r.endpoints = {"collector"}; }));
    REQUIRE(rig.book->tokens().empty());
}

TEST_CASE("a host is called by its name until it has none", "[enroll]") {
    Rig rig;
    REQUIRE(rig.desk->rename("i-0abc", "shop front"));
    rig.restart();
    REQUIRE(rig.book->name_of("i-0abc") == "shop front");
    REQUIRE(rig.desk->rename("i-0abc", ""));
    REQUIRE(rig.book->name_of("i-0abc").empty());
    REQUIRE_FALSE(rig.desk->rename("i-0abc", "two\nlines"));
    REQUIRE_FALSE(rig.desk->rename("../x", "name"));
}

TEST_CASE("a database of a newer version is left alone", "[enroll]") {
    Rig rig;
    {
        auto database = Database::open(rig.dir.path() / "newer.db", Database::Durability::each);
        REQUIRE(database);
        REQUIRE(database->execute("PRAGMA user_version = 2"));
    }
    const auto opened = EnrollmentBook::open(rig.dir.path() / "newer.db");
    REQUIRE(opened.error().code == Errc::unsupported);
}

}  // namespace
}  // namespace ridgeline::collector
