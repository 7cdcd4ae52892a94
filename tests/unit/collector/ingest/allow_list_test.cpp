#include "collector/ingest/allow_list.h"

#include <filesystem>
#include <fstream>

#include "common/net/curve_keys.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("hosts are enrolled and removed by files, without a restart", "[allow_list]") {
    const test::TempDir dir;
    AllowList list(dir.path());
    const auto web = net::generate_key_pair().value();
    const auto db = net::generate_key_pair().value();
    CHECK_FALSE(list.find(web.public_z85));
    REQUIRE(net::save_public_key_file(dir.path() / "web-1.pub", web.public_z85));
    CHECK(list.find(web.public_z85) == "web-1");
    REQUIRE(net::save_public_key_file(dir.path() / "db-1.pub", db.public_z85));
    CHECK(list.find(db.public_z85) == "db-1");
    std::filesystem::remove(dir.path() / "web-1.pub");
    CHECK_FALSE(list.find(web.public_z85));
    CHECK(list.find(db.public_z85) == "db-1");
}

TEST_CASE("bad files are named and left out", "[allow_list]") {
    const test::TempDir dir;
    const auto key = net::generate_key_pair().value();
    std::ofstream(dir.path() / "bad.pub") << "not a key\n";
    std::ofstream(dir.path() / "ignored.txt") << "whatever\n";
    REQUIRE(net::save_public_key_file(dir.path() / "a.pub", key.public_z85));
    REQUIRE(net::save_public_key_file(dir.path() / "b.pub", key.public_z85));
    REQUIRE(net::save_public_key_file(dir.path() / "no good name.pub",
                                      net::generate_key_pair()->public_z85));
    AllowList list(dir.path());
    CHECK(list.find(key.public_z85) == "a");
    CHECK(list.size() == 1);
    CHECK(list.problems().size() == 3);
    AllowList missing("/nonexistent/agents");
    CHECK_FALSE(missing.find(key.public_z85));
    CHECK(missing.problems().size() == 1);
}

TEST_CASE("host ids are plain names", "[allow_list]") {
    CHECK(is_host_id("i-0abc.eu-west-1"));
    for (const char* bad : {"", ".hidden", "a b", "a/b", "a\n", "\xc3\xbc"})
        CHECK_FALSE(is_host_id(bad));
    CHECK_FALSE(is_host_id(std::string(256, 'a')));
}

TEST_CASE("a key that is replaced in its file is replaced here", "[allow_list]") {
    const test::TempDir dir;
    AllowList list(dir.path());
    const auto file = dir.path() / "a1.pub";
    const std::string old_key = net::generate_key_pair().value().public_z85;
    const std::string new_key = net::generate_key_pair().value().public_z85;
    std::ofstream(file) << old_key << '\n';
    REQUIRE(list.find(old_key) == "a1");
    // In place, which leaves the directory's time stamp; the file's is too coarse for a test.
    std::ofstream(file) << new_key << '\n';
    std::filesystem::last_write_time(
        file, std::filesystem::last_write_time(file) + std::chrono::seconds{5});
    // Long unchanged, as the directory is in normal life.
    std::filesystem::last_write_time(
        dir.path(), std::filesystem::last_write_time(dir.path()) - std::chrono::hours{1});
    CHECK_FALSE(list.find(net::generate_key_pair().value().public_z85));
    CHECK(list.find(new_key) == "a1");
    std::ofstream(file) << old_key << '\n';
    std::filesystem::last_write_time(
        file, std::filesystem::last_write_time(file) + std::chrono::seconds{10});
    CHECK_FALSE(list.find(new_key));
    CHECK(list.find(old_key) == "a1");
}

TEST_CASE("a directory that cannot be read admits nobody new", "[allow_list]") {
    const test::TempDir dir;
    const auto keys = dir.path() / "keys";
    const auto away = dir.path() / "away";
    std::filesystem::create_directory(keys);
    AllowList list(keys);
    const std::string key = net::generate_key_pair().value().public_z85;
    std::ofstream(keys / "a1.pub") << key << '\n';
    REQUIRE(list.find(key) == "a1");
    std::filesystem::rename(keys, away);
    CHECK(list.find(key) == "a1");
    CHECK_FALSE(list.find(net::generate_key_pair().value().public_z85));
    CHECK(list.problems().size() == 1);
    std::filesystem::rename(away, keys);
    CHECK(list.find(key) == "a1");
    CHECK_FALSE(list.find(net::generate_key_pair().value().public_z85));
    CHECK(list.problems().empty());
}

TEST_CASE("strangers do not have a large directory read for each of them", "[allow_list]") {
    const test::TempDir dir;
    const std::string key = net::generate_key_pair().value().public_z85;
    for (int i = 0; i < 1000; ++i)
        std::ofstream(dir.path() / ("host-" + std::to_string(i) + ".pub")) << key << '\n';
    AllowList list(dir.path());
    REQUIRE(list.refresh());
    // As after the clock was set back: its stamp tells nothing for an hour.
    std::filesystem::last_write_time(
        dir.path(), std::filesystem::last_write_time(dir.path()) + std::chrono::hours{1});
    int readings = 0;
    for (int i = 0; i < 50; ++i)
        readings += list.refresh() ? 1 : 0;
    CHECK(readings <= 5);
    // What changed is seen at once.
    const std::string late = net::generate_key_pair().value().public_z85;
    std::ofstream(dir.path() / "late.pub") << late << '\n';
    CHECK(list.find(late) == "late");
}
