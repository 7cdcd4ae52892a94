// The price table that is packaged.
#pragma once

#include "collector/cost/prices.h"
#include "tests/support/catch.h"

namespace ridgeline::test {

inline collector::CloudWatchPrices packaged_prices() {
    const auto prices = collector::load_prices(RIDGELINE_PRICES, "us-east-1");
    if (!prices) FAIL(prices.error().context);
    return *prices;
}

}  // namespace ridgeline::test
