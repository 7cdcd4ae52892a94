// A Recorder that remembers the last value of each series under its printed name.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/source/source.h"
#include "common/metric/catalog.h"

namespace ridgeline::test {

class SampleSink final : public agent::Recorder {
  public:
    agent::SlotId declare(std::string_view metric, Attributes attributes) override {
        normalise(attributes);
        names_.push_back(to_string(SeriesDescriptor{std::string(metric), attributes}));
        const MetricInfo* info = find_metric(metric);
        if (info == nullptr) unknown.push_back(names_.back());
        for (const Attribute& attribute : attributes) {
            const std::string keys =
                info == nullptr ? "" : "," + std::string(info->attributes) + ",";
            if (keys.find("," + attribute.key + ",") == std::string::npos)
                unknown.push_back(names_.back());
        }
        return static_cast<agent::SlotId>(names_.size() - 1);
    }
    void retire(agent::SlotId slot) override {
        values.erase(names_[static_cast<std::size_t>(slot)]);
    }
    void record(agent::SlotId slot, double value) override {
        values[names_[static_cast<std::size_t>(slot)]] = value;
    }

    std::optional<double> operator[](const std::string& name) const {
        const auto it = values.find(name);
        return it == values.end() ? std::nullopt : std::optional(it->second);
    }

    std::map<std::string, double> values;
    std::vector<std::string>
        unknown;  // series that the catalog does not know, or with attributes it does not list

  private:
    std::vector<std::string> names_;
};

}  // namespace ridgeline::test
