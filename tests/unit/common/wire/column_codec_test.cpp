#include "common/wire/column_codec.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "common/metric/sample_block.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::wire;

namespace {

bool same_bits(double a, double b) {
    return (!has_value(a) && !has_value(b)) || (a == b);
}

std::string round_trip(const std::vector<double>& values) {
    std::string bytes;
    encode_column(values, bytes);
    std::string_view in = bytes;
    std::vector<double> back(values.size());
    REQUIRE(decode_column(in, back));
    CHECK(in.empty());
    bool equal = true;
    for (std::size_t i = 0; i < values.size(); ++i)
        equal = equal && same_bits(values[i], back[i]);
    CHECK(equal);
    return bytes;
}

}  // namespace

TEST_CASE("columns of every kind come back exactly", "[column]") {
    round_trip({0, 0, 0, 0});
    round_trip({1, 2, 3, 4, 5, 5, 5, 9});
    round_trip({0.1234, 0.5, 0.25, 1});
    round_trip({M_PI, M_E, -M_PI, 1e300, 5e-324, 0});
    round_trip({1e15, 1e15 + 1, -1e15});
    round_trip({9.3e18, 1, 2});
    round_trip({kNoValue, 1, kNoValue, kNoValue, 2, 3});
    round_trip({1, kNoValue});
    round_trip({kNoValue, kNoValue});
    round_trip({});
    round_trip({42});
}

TEST_CASE("what is regular takes next to nothing", "[column]") {
    std::vector<double> counter;
    for (int i = 0; i < 60; ++i)
        counter.push_back(1e9 + 4096.0 * i);
    CHECK(round_trip(counter).size() <= 14);
    CHECK(round_trip(std::vector<double>(600, 0.42)).size() == 9);
    CHECK(round_trip(std::vector<double>(600, kNoValue)).size() == 1);
}

TEST_CASE("random columns come back exactly", "[column]") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937_64 rng(seed);
        std::vector<double> values(1 + rng() % 200);
        const auto kind = rng() % 4;
        for (double& value : values) {
            const double small = static_cast<double>(rng() % 10'000);
            value = kind == 0   ? small
                    : kind == 1 ? small / 1e4
                    : kind == 2 ? std::ldexp(small, static_cast<int>(rng() % 60))
                                : small / 3;
            if (rng() % 5 == 0) value = kNoValue;
        }
        INFO("seed " << seed);
        round_trip(values);
    }
}

TEST_CASE("a column cut at any byte is an error and not a crash", "[column]") {
    for (const std::vector<double>& values : {std::vector<double>{1, 2, 4, 8, 8, 8, 8, 9},
                                              {M_PI, M_E, 1.0 / 3},
                                              {kNoValue, 0.5, kNoValue, 0.25}}) {
        std::string bytes;
        encode_column(values, bytes);
        for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
            std::string_view in = std::string_view(bytes).substr(0, cut);
            std::vector<double> back(values.size());
            CHECK_FALSE(decode_column(in, back));
        }
    }
}

TEST_CASE("infinite values, over-long runs and unknown kinds are refused", "[column]") {
    const auto refused = [](std::string bytes, std::size_t n) {
        std::string_view in = bytes;
        std::vector<double> back(n);
        return !decode_column(in, back);
    };
    const double infinity = INFINITY;
    std::string constant(9, '\0');
    constant[0] = 1;
    std::memcpy(constant.data() + 1, &infinity, 8);
    CHECK(refused(constant, 3));
    CHECK(refused(std::string("\x04", 1), 3));
    CHECK(refused(std::string("\x02\x00\x02\x02\x00\x7f", 6), 3));  // a run of 128 in a column of 3
    CHECK(refused(std::string("\x81\x00\x00\x00\x00", 5), 3));      // empty gap runs for ever
    CHECK(refused(std::string("\x02\x07\x02", 3), 1));              // 10^7
}

TEST_CASE("timestamps keep any order and any step", "[column]") {
    for (const std::vector<std::int64_t>& times :
         {std::vector<std::int64_t>{1'700'000'000'000, 1'700'000'001'000, 1'700'000'002'000,
                                    1'700'000'003'001},
          {5, 3, 1},
          {0},
          {INT64_MIN, INT64_MAX, 0}}) {
        std::string bytes;
        encode_timestamps(times, bytes);
        std::string_view in = bytes;
        std::vector<std::int64_t> back(times.size());
        REQUIRE(decode_timestamps(in, back));
        CHECK(back == times);
    }
}
