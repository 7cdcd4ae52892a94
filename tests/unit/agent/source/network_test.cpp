#include "agent/source/network.h"

#include <string>

#include "tests/support/catch.h"

using namespace ridgeline::agent;

namespace {
const std::string kHeader =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n";
}

TEST_CASE("names end at the last colon, with or without a blank after it", "[network]") {
    std::vector<InterfaceCounters> out;
    const std::string text = kHeader +
                             "  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                             "eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    REQUIRE(parse_net_dev(text, out));
    REQUIRE(out.size() == 2);
    CHECK(out[0].name == "eth0");
    CHECK(out[0].bytes == std::array<std::uint64_t, 2>{1, 9});
    CHECK(out[0].dropped == std::array<std::uint64_t, 2>{4, 12});
    CHECK(out[1].name == "eth0:1");
}

TEST_CASE("torn and foreign lines are left out, a foreign header refuses the file", "[network]") {
    std::vector<InterfaceCounters> out;
    REQUIRE(parse_net_dev(kHeader + "eth0: 1 2 3\nnonsense\n : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 "
                                    "16\neth1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
                          out));
    CHECK(out.empty());
    CHECK_FALSE(parse_net_dev("something else\nentirely\n", out));
    CHECK_FALSE(parse_net_dev("", out));
}
