#include "common/config/toml_reader.h"

#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace std::chrono_literals;

namespace {

std::string only_error(const ConfigDocument& document) {
    return document.errors().size() == 1 ? to_string(document.errors()[0])
                                         : to_string(document.errors());
}

}  // namespace

TEST_CASE("an unknown key is refused with its place and the nearest key", "[config]") {
    auto document = ConfigDocument::parse("[agent]\nintervall = \"1s\"\n", "agent.toml");
    ConfigTable root = document.root();
    ConfigTable agent = root.table("agent");
    CHECK(agent.duration("interval", 1s, 1s, 1h) == 1s);
    root.close();
    CHECK(only_error(document) ==
          "agent.toml:2:1: unknown key \"intervall\"; did you mean \"interval\"?");
}

TEST_CASE("a wrong type, a bad value and a value out of range are each reported where they stand",
          "[config]") {
    auto document =
        ConfigDocument::parse("a = 5\nb = \"ten\"\nc = \"2h\"\nd = 7\ne = [1]\n", "x.toml");
    ConfigTable root = document.root();
    CHECK(root.string("a", "fallback") == "fallback");
    CHECK(root.duration("b", 3s, 1s, 1h) == 3s);
    CHECK(root.duration("c", 3s, 1s, 1h) == 3s);
    CHECK(root.integer("d", 1, 0, 5) == 1);
    CHECK(root.strings("e").empty());
    root.close();
    REQUIRE(document.errors().size() == 5);
    CHECK(document.errors()[0].line == 1);
    CHECK(document.errors()[1].line == 2);
    CHECK(document.errors()[2].message == "c must be from 1s to 1h");
    CHECK(document.errors()[3].column == 5);
    CHECK(document.errors()[4].line == 5);
}

TEST_CASE("a syntax error has a place and no key is read", "[config]") {
    auto document = ConfigDocument::parse("[agent\n", "x.toml");
    REQUIRE_FALSE(document.ok());
    CHECK(document.errors()[0].line == 1);
    CHECK(document.root().table("agent").string("host_id", "auto") == "auto");
}

TEST_CASE("text that upsets the parser is refused with a place", "[config]") {
    CHECK_FALSE(ConfigDocument::parse("[[[rule]]\n", "x.toml").ok());
    CHECK_FALSE(ConfigDocument::parse(std::string("[\0a]\n", 5), "x.toml").ok());
    auto stray = ConfigDocument::parse(
        "# Zürich\na = \"Zürich \\\" ü\" # ü\nb = '''ü\nü'''\n\xef\xbb\x9f = 1\n", "x.toml");
    CHECK(only_error(stray) ==
          "x.toml:5:1: only strings and comments may hold other than ASCII characters");
    CHECK(ConfigDocument::parse("# Zürich\na = \"Zürich\"\n", "x.toml").ok());
}

TEST_CASE("drop-ins are laid over the file in name order and keep their own places", "[config]") {
    const test::TempDir dir;
    std::filesystem::create_directory(dir.path() / "agent.d");
    std::ofstream(dir.path() / "agent.toml")
        << "[agent]\nhost_id = \"a\"\ninterval = \"1s\"\n[[rule]]\nid = \"1\"\n";
    std::ofstream(dir.path() / "agent.d" / "20.toml") << "[agent]\nhost_id = \"c\"\n";
    std::ofstream(dir.path() / "agent.d" / "10.toml")
        << "[agent]\nhost_id = \"b\"\nbad = 1\n[[rule]]\nid = \"2\"\n";
    std::ofstream(dir.path() / "agent.d" / "ignored.conf") << "not toml at all [";
    auto document = ConfigDocument::load(dir.path() / "agent.toml");
    ConfigTable root = document.root();
    ConfigTable agent = root.table("agent");
    CHECK(agent.string("host_id", "") == "c");
    CHECK(agent.duration("interval", 9s, 1s, 1h) == 1s);
    auto rules = root.tables("rule");
    REQUIRE(rules.size() == 2);
    CHECK(rules[0].string("id", "") == "1");
    CHECK(rules[1].string("id", "") == "2");
    root.close();
    REQUIRE(document.errors().size() == 1);
    CHECK(document.errors()[0].file == (dir.path() / "agent.d" / "10.toml").string());
    CHECK(document.errors()[0].line == 3);
}

TEST_CASE("a file that cannot be read is one error that says so", "[config]") {
    auto document = ConfigDocument::load("/nonexistent/agent.toml");
    CHECK(only_error(document) ==
          "/nonexistent/agent.toml: cannot be read: /nonexistent/agent.toml: No such file or "
          "directory");
}

TEST_CASE("secrets come from files and credentials, first line only", "[config]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "token") << "s3cret\nsecond line\n";
    CHECK(resolve_secret("plain").value() == "plain");
    CHECK(resolve_secret("file:" + (dir.path() / "token").string()).value() == "s3cret");
    CHECK_FALSE(resolve_secret("file:/nonexistent"));
    CHECK_FALSE(resolve_secret("credential:../etc/shadow"));
}
