#include "collector/aws/http_client.h"

namespace ridgeline::collector {

const std::string* HttpResponse::header(std::string_view name) const {
    for (const HttpHeader& candidate : headers)
        if (candidate.name == name) return &candidate.value;
    return nullptr;
}

}  // namespace ridgeline::collector
