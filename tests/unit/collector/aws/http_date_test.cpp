#include "collector/aws/http_date.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("an HTTP date is read", "[http-date]") {
    CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == from_unix_ms(784'111'777'000));
    CHECK(parse_http_date(" Mon, 02 Mar 2026 10:00:00 GMT ") == from_unix_ms(1'772'445'600'000));
}

TEST_CASE("anything else is not a date", "[http-date]") {
    for (const char* text :
         {"", "now", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 1994 08:49:37 GMT",
          "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
          "Sun, -6 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"})
        CHECK_FALSE(parse_http_date(text));
}
