// The rules in force over HTTP.
//
//   GET    /api/v1/rules                  each with its file, levels, and how many alerts it has
#pragma once

#include <optional>
#include <span>

#include "collector/alert/alert_book.h"
#include "collector/http/routes.h"
#include "collector/rule/engine.h"

namespace ridgeline::collector {

// `disabled`: those that a file switches off. nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_rules(AlertBook& book, const RuleEngine& engine,
                                        std::span<const Rule> disabled, const ApiRequest& request);

}  // namespace ridgeline::collector
