#include "common/net/enroll_token.h"

#include <random>

#include "tests/support/catch.h"

namespace ridgeline::net {
namespace {

const std::vector<std::string> kEndpoints{"tcp://collector.example.com:7171", "tcp://[::1]:7171"};

TEST_CASE("a token says where the collector is and how to prove that one holds it", "[token]") {
    const auto server = generate_key_pair();
    REQUIRE(server);
    const auto issued = issue_token(server->public_z85, kEndpoints);
    REQUIRE(issued);
    REQUIRE(issued->line.find_first_not_of(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
            std::string::npos);  // no shell and no YAML minds it

    const auto token = parse_token("  " + issued->line + "\r\n");
    REQUIRE(token);
    REQUIRE(token->server_public_z85 == server->public_z85);
    REQUIRE(token->endpoints == kEndpoints);
    REQUIRE(token->keys.public_z85 == issued->public_z85);
    REQUIRE(is_key_text(token->keys.secret.z85()));
    REQUIRE(issued->line.find(token->keys.secret.z85()) == std::string::npos);

    REQUIRE(issue_token(server->public_z85, kEndpoints)->line != issued->line);
}

TEST_CASE("no damaged token is taken, and none is repeated in the message", "[token]") {
    const auto server = generate_key_pair();
    const std::string line = issue_token(server->public_z85, kEndpoints)->line;
    for (std::size_t length = 0; length < line.size(); ++length) {
        const auto parsed = parse_token(line.substr(0, length));
        REQUIRE_FALSE(parsed);
        REQUIRE(parsed.error().context.find(line.substr(5, 12)) == std::string::npos);
    }
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        std::string changed = line;
        char& c = changed[5 + random() % (changed.size() - 5)];
        const char other = "ABCabc0189-_"[random() % 12];
        if (c == other) continue;
        c = other;
        REQUIRE_FALSE(parse_token(changed));
    }
    REQUIRE_FALSE(parse_token(line + line));
    REQUIRE_FALSE(parse_token(std::string(1 << 20, 'A')));
    REQUIRE(parse_token("hello").error().context.find("ridgeline token create") !=
            std::string::npos);
}

TEST_CASE("a token is not made of endpoints that no agent could use", "[token]") {
    const auto server = generate_key_pair();
    for (const char* bad : {"", "collector:7171", "tcp://collector", "tcp://a b:1", "http://a:1"})
        REQUIRE_FALSE(issue_token(server->public_z85, {bad}));
    REQUIRE_FALSE(issue_token(server->public_z85, {}));
    REQUIRE_FALSE(issue_token(server->public_z85, std::vector<std::string>(9, kEndpoints[0])));
    REQUIRE_FALSE(issue_token(server->public_z85, {"tcp://" + std::string(300, 'a') + ":1"}));
    REQUIRE_FALSE(issue_token("no key", kEndpoints));
}

}  // namespace
}  // namespace ridgeline::net
