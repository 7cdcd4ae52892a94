// What an alert says of itself, from a rule's template: "{host}: CPU {value} for {held}".
//
// Names are checked when the rule is read. "{value:.1f}" prints the bare number with one decimal,
// a ratio in percent; "{{" stands for a brace.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/log/log_batch.h"
#include "common/base/result.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// When something is reached, going on as it did; infinite when it is not.
struct Eta {
    double seconds = 0;
    // Between these with 95 % confidence, if the deviations from the line are independent.
    double earliest_s = 0;
    double latest_s = 0;
    double per_second = 0;  // the slope
    bool operator==(const Eta&) const = default;
};
// "3h40m (3h12m to 4h25m)", "3h40m (3h12m or later)", "never".
std::string format_eta(const Eta& eta);

// What there is to say.
struct SummaryFacts {
    const HostInfo& host;
    const Attributes& attributes;
    std::string_view rule;
    std::string_view severity;
    double value = 0;
    double threshold = 0;
    std::string_view unit;  // of both
    std::string_view metric_unit;
    std::chrono::milliseconds held{};
    std::optional<Eta> eta;
};

class SummaryTemplate {
  public:
    // What a rule's template may name besides "tag.NAME".
    struct Names {
        std::vector<std::string_view> attributes;
        bool eta = false;  // {eta} and {rate}
    };
    static Result<SummaryTemplate> make(std::string_view text, const Names& names);

    std::string render(const SummaryFacts& facts) const;
    const std::string& text() const { return text_; }

  private:
    struct Part {
        std::string literal;  // before the name
        std::string name;     // empty: nothing follows the literal
        int decimals = -1;    // -1: as people read the quantity
    };
    static std::string lookup(const Part& part, const SummaryFacts& facts);

    std::string text_;
    std::vector<Part> parts_;
};

}  // namespace ridgeline::collector
