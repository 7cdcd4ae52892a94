// Which series of other metrics belong to which conditions: the link's speed to the traffic of both
// its directions, a filesystem's size to what is used of it.
//
// Either side may come first, and either may go.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace ridgeline::collector {

// The series and the conditions that agree in host and shared attributes, for one companion of a
// rule. `Entry` is the engine's.
template <class Entry>
class Joins {
  public:
    struct Join {
        std::size_t companion = 0;
        std::vector<std::uint32_t> series;  // of the companion's metric
        std::vector<Entry*> entries;        // one for each of their series
    };

    Join& at(const std::string& key, std::size_t companion) {
        Join& join = joins_[key];
        join.companion = companion;
        return join;
    }
    void remove_series(const std::string& key, std::uint32_t series_id) {
        remove(key, [&](Join& join) { erase_one(join.series, series_id); });
    }
    void remove_entry(const std::string& key, Entry* entry) {
        remove(key, [&](Join& join) { erase_one(join.entries, entry); });
    }
    void clear() { joins_.clear(); }
    std::size_t size() const { return joins_.size(); }

  private:
    template <class List, class Item>
    static void erase_one(List& list, const Item& item) {
        for (auto it = list.begin(); it != list.end(); ++it) {
            if (*it != item) continue;
            list.erase(it);
            return;
        }
    }
    template <class Change>
    void remove(const std::string& key, const Change& change) {
        const auto it = joins_.find(key);
        if (it == joins_.end()) return;
        change(it->second);
        if (it->second.series.empty() && it->second.entries.empty()) joins_.erase(it);
    }

    std::unordered_map<std::string, Join> joins_;  // nodes do not move
};

}  // namespace ridgeline::collector
