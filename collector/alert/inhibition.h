// Alerts held back by others of the same host: a silent host is one page, not one for each of its
// alerts. Nothing is sent before what may hold it back has been judged once since the start.
#pragma once

#include "collector/alert/suppression.h"
#include "collector/rule/engine.h"

namespace ridgeline::collector {

class Inhibition final : public Suppressor {
  public:
    // `engine` must outlive it.
    explicit Inhibition(const RuleEngine& engine) : engine_(engine) {}

    std::optional<std::string> suppressed(const Alert& alert, WallTime now) const override;
    bool acknowledged(const Alert&) const override { return false; }

  private:
    const RuleEngine& engine_;
};

}  // namespace ridgeline::collector
