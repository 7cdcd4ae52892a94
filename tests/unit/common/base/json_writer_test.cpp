#include "common/base/json_writer.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace ridgeline;

TEST_CASE("objects, arrays and all kinds of values are separated where they must be", "[json]") {
    JsonWriter json;
    json.begin_object().field("a", 1.5).field("b", std::uint64_t{18446744073709551615ULL});
    json.key("c")
        .begin_array()
        .value(true)
        .null()
        .value(std::int64_t{-7})
        .begin_object()
        .end_object();
    json.end_array().field("d", "x").end_object();
    CHECK(json.text() == R"({"a":1.5,"b":18446744073709551615,"c":[true,null,-7,{}],"d":"x"})");
}

TEST_CASE("text is escaped and made UTF-8, numbers that are none become null", "[json]") {
    JsonWriter json;
    json.begin_array()
        .value("q\" b\\ n\n t\t c\x01 \xff Zürich")
        .value(NAN)
        .value(INFINITY)
        .end_array();
    CHECK(json.text() == "[\"q\\\" b\\\\ n\\n t\\t c? ? Zürich\",null,null]");
}
