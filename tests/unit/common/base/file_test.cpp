#include "common/base/file.h"

#include <fstream>
#include <string>

#include <sys/stat.h>

#include "common/base/crc32c.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;

TEST_CASE("a file is replaced whole and leaves no temporary behind", "[file]") {
    const test::TempDir dir;
    const auto path = dir.path() / "state";
    REQUIRE(write_file_atomic(path, "old", 0600));
    REQUIRE(write_file_atomic(path, std::string(100'000, 'x'), 0600));
    CHECK(read_file(path).value() == std::string(100'000, 'x'));
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    std::size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path()))
        ++entries;
    CHECK(entries == 1);
}

TEST_CASE("reading stops at the cap and tells a missing file from an unreadable one", "[file]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "big") << std::string(5000, 'a');
    CHECK(read_file(dir.path() / "big", 4999).error().code == Errc::limit);
    CHECK(read_file(dir.path() / "none").error().code == Errc::not_found);
    CHECK_FALSE(write_file_atomic(dir.path() / "no" / "such" / "place", "x"));
}

TEST_CASE("CRC-32C gives the values of RFC 3720 appendix B.4", "[crc32c]") {
    const std::string zeros(32, '\0');
    const std::string ones(32, '\xff');
    const auto of = [](const std::string& text) {
        return crc32c(std::as_bytes(std::span(text.data(), text.size())));
    };
    CHECK(of(zeros) == 0x8A9136AAU);
    CHECK(of(ones) == 0x62A8AB43U);
    CHECK(of("123456789") == 0xE3069283U);
    CHECK(of("") == 0U);
}
