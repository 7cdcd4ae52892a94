#include "common/base/text.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace ridgeline;

TEST_CASE("numbers are whole, unsigned where they should be, and never overflow", "[text]") {
    CHECK(to_u64("0") == 0U);
    CHECK(to_u64("18446744073709551615") == 18446744073709551615ULL);
    CHECK_FALSE(to_u64("18446744073709551616"));
    CHECK_FALSE(to_u64(""));
    CHECK_FALSE(to_u64("-1"));
    CHECK_FALSE(to_u64("1 "));
    CHECK(to_i64("-1") == -1);
    CHECK(to_double("1e3") == 1000.0);
    CHECK_FALSE(to_double("nan"));
    CHECK_FALSE(to_double("inf"));
    CHECK_FALSE(to_double("1e999"));
}

TEST_CASE("fields and lines are cut off the front until nothing is left", "[text]") {
    std::string_view rest = "  cpu0  12\t34 \nnext";
    std::string_view line = next_line(rest);
    CHECK(next_field(line) == "cpu0");
    CHECK(next_field(line) == "12");
    CHECK(next_field(line) == "34");
    CHECK(next_field(line).empty());
    CHECK(next_line(rest) == "next");
    CHECK(rest.empty());
    CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
}

TEST_CASE("globs match as in a shell and stay linear on patterns full of stars", "[text]") {
    CHECK(glob_match("system.*.utilization", "system.cpu.utilization"));
    CHECK(glob_match("*", ""));
    CHECK(glob_match("eth?", "eth0"));
    CHECK_FALSE(glob_match("eth?", "eth10"));
    CHECK_FALSE(glob_match("a*b", "ac"));
    CHECK_FALSE(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(20'000, 'a')));
}

TEST_CASE("the nearest word is named only when it is near enough to be meant", "[text]") {
    const std::vector<std::string> keys = {"interval", "host_id", "tags"};
    CHECK(nearest("intervall", keys) == "interval");
    CHECK(nearest("hostid", keys) == "host_id");
    CHECK_FALSE(nearest("completely_different", keys));
    CHECK_FALSE(nearest("x", std::vector<std::string>{}));
}

TEST_CASE("text from outside is made printable and cut on a character", "[text]") {
    CHECK(printable("a\nb\x1b[31m") == "a?b?[31m");
    CHECK(printable("\xff\xfe ok") == "?? ok");
    CHECK(printable("\xe2\x82\xac", 2).empty());
    CHECK(printable("Zürich") == "Zürich");
    CHECK(printable("\xed\xa0\x80") == "???");  // a surrogate is not a character
}

TEST_CASE("rows are aligned, numbers at the right", "[text]") {
    CHECK(align({{"file", "bytes"}, {"a", "7"}, {"longer", "12345678"}}) ==
          "file    bytes\na              7\nlonger  12345678\n");
    CHECK(align({}).empty());
}
