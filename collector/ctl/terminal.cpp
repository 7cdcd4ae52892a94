#include "collector/ctl/terminal.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

// Set by signal handlers, which may do no more.
volatile std::sig_atomic_t g_quit = 0;
volatile std::sig_atomic_t g_resized = 0;

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";

void put(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

void handle(int number, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;  // without SA_RESTART: poll() is to wake up
    ::sigaction(number, &action, nullptr);
}

}  // namespace

TerminalSize terminal_size() {
    TerminalSize size;
    winsize window{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        size.width = window.ws_col;
        size.height = window.ws_row;
        return size;
    }
    const char* columns = std::getenv("COLUMNS");
    if (columns != nullptr) {
        if (const auto width = to_u64(columns); width && *width >= 20 && *width <= 1000)
            size.width = static_cast<std::size_t>(*width);
    }
    return size;
}

bool stdout_is_terminal() {
    return ::isatty(STDOUT_FILENO) == 1;
}

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') continue;
        const std::string_view text(value);
        return text.find("UTF-8") != std::string_view::npos ||
               text.find("utf8") != std::string_view::npos;
    }
    return false;
}

bool colour_wanted() {
    const char* no_color = std::getenv("NO_COLOR");
    return stdout_is_terminal() && (no_color == nullptr || *no_color == '\0');
}

FullScreen::FullScreen() {
    handle(SIGINT, [](int) { g_quit = 1; });
    handle(SIGTERM, [](int) { g_quit = 1; });
    handle(SIGWINCH, [](int) { g_resized = 1; });
    if (::tcgetattr(STDIN_FILENO, &saved_) == 0) {
        termios raw = saved_;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        raw_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    put(kEnter);
}

FullScreen::~FullScreen() {
    put(kLeave);
    if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
}

void FullScreen::draw(std::string_view text) const {
    // Home, then each line with the rest of its row cleared, then all below: no flicker from an
    // empty screen.
    std::string out = "\x1b[H";
    while (!text.empty()) {
        out += next_line(text);
        out += "\x1b[K\r\n";
    }
    out += "\x1b[J";
    put(out);
}

FullScreen::Event FullScreen::wait(std::chrono::milliseconds timeout) const {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int ready =
        g_quit != 0 || g_resized != 0 ? 0 : ::poll(&input, 1, static_cast<int>(timeout.count()));
    if (g_quit != 0) return Event::quit;
    if (g_resized != 0) {
        g_resized = 0;
        return Event::resized;
    }
    if (ready > 0) {
        char key = 0;
        const ssize_t n = ::read(STDIN_FILENO, &key, 1);
        if (n <= 0 || key == 'q' || key == 'Q' || key == 3) return Event::quit;
    }
    return Event::none;
}

}  // namespace ridgeline::collector
