#include "common/base/nearest_integer.h"

#include <cmath>
#include <limits>
#include <random>

#include "tests/support/catch.h"

using namespace ridgeline;

namespace {

bool is_nearbyint(double value) {
    const double ours = nearest_integer(value);
    const double theirs = std::nearbyint(value);
    return (ours == theirs && std::signbit(ours) == std::signbit(theirs)) ||
           (std::isnan(ours) && std::isnan(theirs));
}

}  // namespace

TEST_CASE("the nearest integer is std::nearbyint's", "[rounding]") {
    for (const double value :
         {0.0, 0.3, 0.5, 1.5, 2.5, 0.49999999999999994, 4503599627370495.5, 4503599627370496.0,
          4503599627370497.0, 9007199254740993.0, 1e300, 5e-324,
          std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        CAPTURE(value);
        CHECK(is_nearbyint(value));
        CHECK(is_nearbyint(-value));
    }
    std::mt19937_64 random(1);  // NOLINT: the same each time
    std::uniform_real_distribution<double> exponent(-60, 60);
    std::uniform_real_distribution<double> mantissa(-2, 2);
    for (int i = 0; i < 100'000; ++i) {
        const double value = std::ldexp(mantissa(random), static_cast<int>(exponent(random)));
        if (!is_nearbyint(value)) FAIL(value);
    }
}
