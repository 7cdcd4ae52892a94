// A queue in one piece of memory, small when it is empty: conditions are many. (A std::deque takes
// half a kilobyte to hold nothing.)
#pragma once

#include <cstddef>
#include <vector>

namespace ridgeline::collector {

template <class T>
class SampleQueue {
  public:
    bool empty() const { return head_ == items_.size(); }
    std::size_t size() const { return items_.size() - head_; }
    void push_back(const T& item) { items_.push_back(item); }
    void pop_back() { items_.pop_back(); }
    void pop_front() {
        // Half of it gone, the rest moves up: each item is moved once on average.
        if (++head_ * 2 < items_.size()) return;
        items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
    void clear() {
        items_.clear();
        head_ = 0;
    }
    const T& front() const { return items_[head_]; }
    const T& back() const { return items_.back(); }
    T& back() { return items_.back(); }
    const T& operator[](std::size_t i) const { return items_[head_ + i]; }
    T& operator[](std::size_t i) { return items_[head_ + i]; }

  private:
    std::vector<T> items_;
    std::size_t head_ = 0;  // items before it are gone
};

}  // namespace ridgeline::collector
