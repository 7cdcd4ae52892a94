// Why an alert that fires is not told to anybody now: a silence, an inhibition, flapping.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

class Suppressor {
  public:
    virtual ~Suppressor() = default;
    // By what, in words for people; nullopt when it is to be told.
    virtual std::optional<std::string> suppressed(const Alert& alert, WallTime now) const = 0;
    // Somebody has taken it on: it is not told again and again.
    virtual bool acknowledged(const Alert& alert) const = 0;
    // How often somebody has acknowledged something since the start: whether there is news.
    virtual std::uint64_t acknowledgements() const { return 0; }
};

// All of them, as one.
class Suppressors final : public Suppressor {
  public:
    // Must outlive it.
    void add(const Suppressor& suppressor) { all_.push_back(&suppressor); }
    std::optional<std::string> suppressed(const Alert& alert, WallTime now) const override {
        for (const Suppressor* suppressor : all_) {
            if (auto by = suppressor->suppressed(alert, now)) return by;
        }
        return std::nullopt;
    }
    bool acknowledged(const Alert& alert) const override {
        return std::any_of(all_.begin(), all_.end(), [&](const Suppressor* suppressor) {
            return suppressor->acknowledged(alert);
        });
    }
    std::uint64_t acknowledgements() const override {
        std::uint64_t sum = 0;
        for (const Suppressor* suppressor : all_)
            sum += suppressor->acknowledgements();
        return sum;
    }

  private:
    std::vector<const Suppressor*> all_;
};

}  // namespace ridgeline::collector
