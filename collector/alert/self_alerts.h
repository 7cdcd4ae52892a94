// What the collector has to say of itself, as alerts like all others: rule files that are refused,
// alerts that cannot be stored, a clock that was set back, rules beyond their limit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/rule/transition.h"

namespace ridgeline::collector {

class SelfAlerts {
  public:
    // Fires `name` (with `about`, if there can be several); nothing when it fires already.
    std::optional<Transition> raise(const std::string& name, const std::string& about,
                                    Severity severity, const std::string& summary,
                                    std::int64_t now_ms);
    std::optional<Transition> clear(const std::string& name, const std::string& about,
                                    std::int64_t now_ms);
    bool fires(const std::string& name, const std::string& about) const;
    // What fires by that name.
    std::vector<std::string> about(const std::string& name) const;

    std::vector<FiringCondition> firing() const;
    // False when it is no alert of the collector's own.
    bool restore(const FiringCondition& condition);

  private:
    static std::string key_of(const std::string& name, const std::string& about);

    struct Firing {
        std::string name;
        std::string about;
        std::int64_t since_ms = 0;
        Severity severity = Severity::p4;
    };
    std::map<std::string, Firing> firing_;  // by key
};

}  // namespace ridgeline::collector
