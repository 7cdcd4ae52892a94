// The terminal that `top` draws on: size, keys, alternate screen.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

#include <termios.h>

namespace ridgeline::collector {

struct TerminalSize {
    std::size_t width = 80;
    std::size_t height = 24;
};
// Of standard output; $COLUMNS and 80×24 where it is none.
TerminalSize terminal_size();
bool stdout_is_terminal();
bool locale_is_utf8();
// Standard output is a terminal and NO_COLOR (no-color.org) is not set.
bool colour_wanted();

// Takes over the screen while it lives; the terminal is put back as it was, after Ctrl-C too.
class FullScreen {
  public:
    FullScreen();
    ~FullScreen();
    FullScreen(const FullScreen&) = delete;
    FullScreen& operator=(const FullScreen&) = delete;

    void draw(std::string_view text) const;
    enum class Event { none, quit, resized };
    // Waits for a key, a signal or the time-out.
    Event wait(std::chrono::milliseconds timeout) const;

  private:
    termios saved_{};
    bool raw_ = false;
};

}  // namespace ridgeline::collector
