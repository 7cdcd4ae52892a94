#include "common/wire/block_codec.h"

#include <string>

#include <zstd.h>

#include "common/metric/sample_block.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::wire;

namespace {

Schema two_groups() {
    return {{{"cpu", {{"a", {}}, {"b", {}}}}, {"disk", {{"c", {}}}}}};
}

SampleBlock sample_block() {
    SampleBlock block;
    block.groups.push_back({{1000, 2000, 3000}, 2, {1, 2, 3, 0.5, kNoValue, 0.25}});
    block.groups.push_back({{}, 1, {}});
    return block;
}

}  // namespace

TEST_CASE("a block comes back as it was, groups without instants included", "[block]") {
    const std::string bytes = encode_block(sample_block());
    const auto block = decode_block(bytes, two_groups(), {}).value();
    REQUIRE(block.groups.size() == 2);
    CHECK(block.groups[0].timestamps_ms == std::vector<std::int64_t>{1000, 2000, 3000});
    CHECK(block.groups[0].column(1)[2] == 0.25);
    CHECK_FALSE(has_value(block.groups[0].column(1)[1]));
    CHECK(block.groups[1].timestamps_ms.empty());
    CHECK(block.sample_count() == 5);
}

TEST_CASE("a block of another schema is refused", "[block]") {
    const std::string bytes = encode_block(sample_block());
    CHECK(decode_block(bytes, Schema{{{"cpu", {{"a", {}}}}, {"disk", {{"c", {}}}}}}, {})
              .error()
              .code == Errc::corrupt);
    CHECK(decode_block(bytes, Schema{{{"cpu", {{"a", {}}, {"b", {}}}}}}, {}).error().code ==
          Errc::corrupt);
    CHECK_FALSE(decode_block(
        bytes, Schema{{{"cpu", {{"a", {}}, {"b", {}}, {"x", {}}}}, {"disk", {{"c", {}}}}}}, {}));
}

TEST_CASE("a decompression bomb is refused before it is opened", "[block]") {
    const std::string zeros(200U << 20, '\0');
    std::string bomb(ZSTD_compressBound(zeros.size()), '\0');
    bomb.resize(ZSTD_compress(bomb.data(), bomb.size(), zeros.data(), zeros.size(), 1));
    CHECK(decode_block(bomb, two_groups(), {}).error().code == Errc::limit);
}

TEST_CASE("a block that claims more instants or samples than allowed is refused", "[block]") {
    Limits limits;
    limits.ticks_per_group = 2;
    CHECK(decode_block(encode_block(sample_block()), two_groups(), limits).error().code ==
          Errc::limit);
    limits = {};
    limits.samples_per_batch = 5;
    CHECK(decode_block(encode_block(sample_block()), two_groups(), limits).error().code ==
          Errc::limit);
}

TEST_CASE("every flipped byte of a block gives an error or a block, never a crash", "[block]") {
    const std::string bytes = encode_block(sample_block());
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (const char flip : {'\x01', '\x80', '\xff'}) {
            std::string damaged = bytes;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            const auto block = decode_block(damaged, two_groups(), {});
            CHECK((!block || block->groups.size() == 2));
        }
    }
}
