// What is to be looked at when, in the order of time: a heap of deadlines, each of something that
// does not move.
//
// A deadline that turns out to be too early is put off when it comes due, not each time something
// happens that moves it; so a sample costs nothing here. Pure values; no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ridgeline::collector {

template <class T>
class Deadlines {
  public:
    using Token = std::uint64_t;  // 0 is none

    // `watched` must be removed before it goes.
    Token add(T* watched, std::int64_t due_ms) {
        watched_.emplace(++last_, watched);
        queue_.push({due_ms, last_});
        return last_;
    }
    void remove(Token token) { watched_.erase(token); }
    void clear() {
        watched_.clear();
        queue_ = {};
    }

    // Everything due before or at `now_ms`. `on_due` gives the next time to look, later than
    // `now_ms`, or nullopt when it need not be looked at any more (its token is void then). It may
    // add and remove.
    template <class OnDue>
    void run(std::int64_t now_ms, OnDue on_due) {
        while (!queue_.empty() && queue_.top().first <= now_ms) {
            const Token token = queue_.top().second;
            queue_.pop();
            const auto it = watched_.find(token);
            if (it == watched_.end()) continue;
            const std::optional<std::int64_t> next_ms = on_due(*it->second);
            if (next_ms && watched_.contains(token)) {
                queue_.push({*next_ms, token});
            } else {
                watched_.erase(token);
            }
        }
    }
    std::size_t size() const { return watched_.size(); }

  private:
    using Item = std::pair<std::int64_t, Token>;
    std::priority_queue<Item, std::vector<Item>, std::greater<>> queue_;
    std::unordered_map<Token, T*> watched_;
    Token last_ = 0;
};

}  // namespace ridgeline::collector
