// Why a rule does or does not fire for a host, over HTTP.
//
//   GET    /api/v1/rules/explain?rule=&host=   its conditions there: the value and what it is made
//                                              of, the state, what each level waits for and when it
//                                              fires; or why there is none
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "collector/http/routes.h"
#include "collector/rule/engine.h"
#include "collector/series/series_store.h"

namespace ridgeline::collector {

struct ExplainSources {
    const RuleEngine& engine;
    const SeriesStore& series;
    std::span<const Rule> disabled;
    std::int64_t now_ms = 0;
};

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_explain(const ExplainSources& sources, const ApiRequest& request);

}  // namespace ridgeline::collector
