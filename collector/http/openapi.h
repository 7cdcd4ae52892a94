// The API's description, openapi.json beside this file, as it was when this was built.
#pragma once

#include <string_view>

namespace ridgeline::collector {

std::string_view openapi_json();

}  // namespace ridgeline::collector
