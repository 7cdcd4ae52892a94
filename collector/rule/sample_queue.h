// A ring of samples, small when it is empty and hardly larger than what it holds: conditions are
// many. (A std::deque takes half a kilobyte to hold nothing; a vector's growth leaves half of it
// empty.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace ridgeline::collector {

template <class T>
class SampleQueue {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    SampleQueue() = default;
    SampleQueue(SampleQueue&& other) noexcept { swap(other); }
    SampleQueue& operator=(SampleQueue&& other) noexcept {
        SampleQueue taken(std::move(other));
        swap(taken);
        return *this;
    }

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    void push_back(const T& item) {
        if (size_ == capacity_) grow();
        items_[place(size_)] = item;
        ++size_;
    }
    void pop_back() { --size_; }
    void pop_front() {
        first_ = place(1);
        --size_;
    }
    void clear() { first_ = size_ = 0; }
    const T& front() const { return items_[first_]; }
    T& front() { return items_[first_]; }
    const T& back() const { return items_[place(size_ - 1)]; }
    T& back() { return items_[place(size_ - 1)]; }
    const T& operator[](std::size_t i) const { return items_[place(i)]; }
    T& operator[](std::size_t i) { return items_[place(i)]; }

  private:
    std::uint32_t place(std::size_t i) const {
        const std::size_t at = first_ + i;
        return static_cast<std::uint32_t>(at < capacity_ ? at : at - capacity_);
    }
    void grow() {
        const std::uint32_t larger = std::max<std::uint32_t>(4, capacity_ + capacity_ / 2);
        auto moved = std::make_unique_for_overwrite<T[]>(larger);
        for (std::uint32_t i = 0; i < size_; ++i)
            moved[i] = items_[place(i)];
        items_ = std::move(moved);
        capacity_ = larger;
        first_ = 0;
    }
    void swap(SampleQueue& other) noexcept {
        std::swap(items_, other.items_);
        std::swap(first_, other.first_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    std::unique_ptr<T[]> items_;
    std::uint32_t first_ = 0;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = 0;
};

}  // namespace ridgeline::collector
