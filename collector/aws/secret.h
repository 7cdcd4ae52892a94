// Text that is overwritten when it goes: a secret key, a session token, what a file said of them.
//
// Copies are wiped as well, each when it goes. What a library has of its own (libcurl's headers
// while a request is under way) is out of reach. Never printed: there is no operator<<.
#pragma once

#include <cstring>
#include <string>
#include <utility>

namespace ridgeline::collector {

// Overwrites all that the string has room for, and empties it.
inline void wipe(std::string& text) {
    text.resize(text.capacity());
    explicit_bzero(text.data(), text.size());
    text.clear();
}

class Secret {
  public:
    Secret() = default;
    Secret(std::string text) : text_(std::move(text)) {}  // NOLINT(google-explicit-constructor)
    Secret(const char* text) : text_(text) {}             // NOLINT(google-explicit-constructor)
    Secret(const Secret& other) = default;
    Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.clear(); }
    Secret& operator=(const Secret& other) {
        if (this == &other) return *this;
        clear();
        text_ = other.text_;
        return *this;
    }
    Secret& operator=(Secret&& other) noexcept {
        if (this == &other) return *this;
        clear();
        text_ = std::move(other.text_);
        other.clear();  // a short text is copied by a move
        return *this;
    }
    ~Secret() { clear(); }

    const std::string& text() const { return text_; }
    bool empty() const { return text_.empty(); }
    bool operator==(const Secret& other) const { return text_ == other.text_; }

  private:
    void clear() { wipe(text_); }

    std::string text_;
};

}  // namespace ridgeline::collector
