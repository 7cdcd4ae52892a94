#include "collector/alert/inhibition.h"

namespace ridgeline::collector {

std::optional<std::string> Inhibition::suppressed(const Alert& alert, WallTime) const {
    return engine_.inhibitor_of(alert.rule, alert.host, alert.attributes);
}

}  // namespace ridgeline::collector
