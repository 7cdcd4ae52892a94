#include "common/wire/messages.h"

#include <string>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::wire;

namespace {

template <class M>
M round_trip(const M& message) {
    return std::get<M>(decode(encode(message), {}).value());
}

}  // namespace

TEST_CASE("every message comes back with every field", "[wire]") {
    Hello hello;
    hello.host_id = "i-0abc";
    hello.epoch = 0xFFFFFFFFFFFFFFFFULL;
    hello.first_unacked = 3;
    hello.next_sequence = 9;
    hello.tags = {{"role", "web"}};
    hello.facts = {{"os", "Debian"}};
    hello.mono_ms = 17;
    const Hello back = round_trip(hello);
    CHECK(back.host_id == "i-0abc");
    CHECK(back.epoch == hello.epoch);
    CHECK(back.tags == hello.tags);
    CHECK(back.facts == hello.facts);
    CHECK(back.mono_ms == 17);

    Welcome welcome;
    welcome.credit = 16;
    welcome.durable = {{1, 5}, {7, 7}};
    CHECK(round_trip(welcome).durable == welcome.durable);
    CHECK(round_trip(Ack{1, {2, 3, 900}}).sequences == std::vector<std::uint64_t>{2, 3, 900});
    CHECK(round_trip(Reject{1, 2, RejectReason::wrong_host, "no"}).reason ==
          RejectReason::wrong_host);
    CHECK(round_trip(Batch{"h", 1, 2, true, std::string("\0\xff", 2)}).body ==
          std::string("\0\xff", 2));
    const Schema schema{{{"cpu", {{"m", {{"a", "1"}, {"b", "2"}}}}}}};
    CHECK(round_trip(SchemaReply{5, schema}).schema == schema);
}

TEST_CASE("what is not a message, too large or of an unknown kind is told apart", "[wire]") {
    CHECK(decode("\xff\xff\xff", {}).error().code == Errc::corrupt);
    CHECK(decode("", {}).error().code == Errc::unsupported);
    CHECK(decode(std::string("\xfa\x7f\x00", 3), {}).error().code ==
          Errc::unsupported);  // field 2047, empty
    Limits limits;
    limits.message_bytes = 10;
    CHECK(decode(std::string(11, 'x'), limits).error().code == Errc::limit);
}

TEST_CASE("schemas over a limit or with attributes out of order are refused", "[wire]") {
    Limits limits;
    limits.series_per_schema = 3;
    limits.attributes_per_series = 1;
    CHECK(decode_schema(encode_schema({{{"a", {{"m", {}}, {"n", {}}}}}}), limits));
    CHECK(decode_schema(encode_schema({{{"a", {{"m", {}}, {"n", {}}, {"o", {}}}}}}), limits)
              .error()
              .code == Errc::limit);
    CHECK(decode_schema(encode_schema({{{"a", {{"m", {{"a", "1"}, {"b", "2"}}}}}}}), limits)
              .error()
              .code == Errc::limit);
    CHECK(decode_schema(encode_schema({{{"a", {{"m", {{"b", "1"}, {"a", "2"}}}}}}}), {})
              .error()
              .code == Errc::corrupt);
    CHECK(decode_schema(encode_schema({{{"a", {{"m", {{"a", "1"}, {"a", "2"}}}}}}}), {})
              .error()
              .code == Errc::corrupt);
    CHECK(decode_schema(encode_schema({{{"a", {{"", {}}}}}}), {}).error().code == Errc::limit);
}

TEST_CASE("a hello with an endless text or too many tags is refused", "[wire]") {
    Hello hello;
    hello.host_id = std::string(5000, 'h');
    CHECK(decode(encode(hello), {}).error().code == Errc::limit);
    hello.host_id = "h";
    for (int i = 0; i < 200; ++i)
        hello.tags["k" + std::to_string(i)] = "v";
    CHECK(decode(encode(hello), {}).error().code == Errc::limit);
}
