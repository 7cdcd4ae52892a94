#include "collector/ctl/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "collector/ctl/table.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kHostMin = 14;
constexpr std::size_t kHostMax = 30;
constexpr std::size_t kFixedColumns = 66;  // all but the host's
constexpr std::size_t kSparkColumns = 12;

std::string percent(const std::optional<double>& ratio) {
    if (!ratio) return "-";
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%.0f%%", *ratio * 100);
    return text.data();
}

// "1.2M": a rate in six columns.
std::string rate(const std::optional<double>& bytes_per_second) {
    if (!bytes_per_second) return "-";
    constexpr std::array<const char*, 5> kUnits = {"", "K", "M", "G", "T"};
    double value = *bytes_per_second;
    std::size_t unit = 0;
    while (value >= 1000 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 || value >= 100 ? "%.0f%s" : "%.1f%s", value,
                  kUnits[unit]);
    return text.data();
}

std::string days(const std::optional<double>& seconds) {
    if (!seconds) return "-";
    if (*seconds < 0) return "EXPIRED";
    return std::to_string(static_cast<std::int64_t>(*seconds / 86400)) + "d";
}

class Painter {
  public:
    explicit Painter(bool colour) : colour_(colour) {}
    std::string by_ratio(const std::string& text, const std::optional<double>& ratio) const {
        if (!ratio) return dim(text);
        return *ratio >= 0.9 ? paint(text, "31") : *ratio >= 0.8 ? paint(text, "33") : text;
    }
    std::string severity(const std::string& text, const std::string& severity) const {
        return severity == "P1" || severity == "P2" ? paint(text, "1;31")
               : severity.empty()                   ? text
                                                    : paint(text, "33");
    }
    std::string dim(const std::string& text) const { return paint(text, "2"); }
    std::string bold(const std::string& text) const { return paint(text, "1"); }
    std::string reverse(const std::string& text) const { return paint(text, "7"); }

  private:
    std::string paint(const std::string& text, const char* code) const {
        return colour_ ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
    }
    bool colour_;
};

std::string host_line(const TopHost& host, std::size_t host_columns, const TopOptions& options,
                      const Painter& paint) {
    const bool utf8 = options.utf8;
    const std::string name = (host.connected ? "" : "!") + printable(host.id, 200);
    const std::string alerts =
        host.alerts == 0 ? "-" : std::to_string(host.alerts) + " " + host.worst;
    std::string line =
        host.connected ? fit(name, host_columns, utf8) : paint.dim(fit(name, host_columns, utf8));
    line += ' ' + paint.by_ratio(fit_right(percent(host.cpu), 4, utf8), host.cpu);
    line += ' ' + fit(sparkline(host.cpu_history, kSparkColumns, utf8), kSparkColumns, utf8);
    line += ' ' + paint.by_ratio(fit_right(percent(host.memory), 4, utf8), host.memory);
    line += ' ' + paint.by_ratio(fit_right(percent(host.disk), 4, utf8), host.disk);
    line += ' ' + fit(printable(host.disk_mountpoint, 200), 9, utf8);
    line += ' ' + fit_right(rate(host.receive), 6, utf8) + ' ' +
            fit_right(rate(host.transmit), 6, utf8);
    line += ' ' + fit_right(days(host.certificate_seconds), 7, utf8);
    line += ' ' + paint.severity(fit_right(alerts, 5, utf8), host.worst);
    return line;
}

std::string alert_line(const TopAlert& alert, const TopOptions& options, const Painter& paint) {
    const std::string age = format_duration(std::chrono::seconds{alert.age_seconds});
    std::string text =
        alert.severity + ' ' + fit(age, 7, options.utf8) + ' ' + printable(alert.summary, 500);
    if (display_width(text) > options.width) text = fit(text, options.width, options.utf8);
    return paint.severity(text, alert.severity);
}

std::string header(const TopModel& model, const TopOptions& options) {
    std::string left = "ridgeline  " + std::to_string(model.hosts.size()) +
                       (model.hosts.size() == 1 ? " host" : " hosts");
    const auto silent = std::count_if(model.hosts.begin(), model.hosts.end(),
                                      [](const TopHost& h) { return !h.connected; });
    if (silent > 0) left += ", " + std::to_string(silent) + " silent";
    left += ", " + std::to_string(model.alerts.size()) +
            (model.alerts.size() == 1 ? " alert" : " alerts");
    const std::size_t used = display_width(left) + model.time.size();
    return left + std::string(options.width > used ? options.width - used : 1, ' ') + model.time;
}

}  // namespace

std::string sparkline(const std::vector<double>& ratios, std::size_t width, bool utf8) {
    constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    constexpr std::array<const char*, 8> kAscii = {"_", ".", ".", "-", "-", "=", "+", "#"};
    std::string out;
    const std::size_t first = ratios.size() > width ? ratios.size() - width : 0;
    for (std::size_t i = first; i < ratios.size(); ++i) {
        if (std::isnan(ratios[i])) {
            out += ' ';
            continue;
        }
        const auto level = static_cast<std::size_t>(std::clamp(ratios[i], 0.0, 1.0) * 7.999);
        out += utf8 ? kBlocks[level] : kAscii[level];
    }
    return out;
}

std::string render_top(const TopModel& model, const TopOptions& options) {
    const Painter paint(options.colour);
    const std::size_t host_columns = std::clamp(
        options.width > kFixedColumns ? options.width - kFixedColumns : 0, kHostMin, kHostMax);
    std::vector<std::string> lines;
    lines.push_back(paint.bold(header(model, options)));
    lines.push_back(
        paint.reverse(fit("HOST", host_columns, options.utf8) +
                      "  CPU              MEM DISK               RX     TX    CERT ALERT"));
    for (const TopHost& host : model.hosts)
        lines.push_back(host_line(host, host_columns, options, paint));
    if (model.hosts.empty()) lines.push_back("no host has sent anything yet");
    std::vector<std::string> below;
    if (!model.alerts.empty()) below.emplace_back("");
    for (const TopAlert& alert : model.alerts)
        below.push_back(alert_line(alert, options, paint));

    // With too little room hosts give way to alerts down to half the screen; what is left out is
    // counted.
    if (options.height > 0 && lines.size() + below.size() > options.height) {
        const std::size_t room_below =
            std::min(below.size(), std::max<std::size_t>(options.height / 2, 1));
        const std::size_t room_above = options.height - std::min(room_below, options.height);
        const auto shorten = [](std::vector<std::string>& part, std::size_t room) {
            if (part.size() <= room || room == 0) return part.resize(std::min(part.size(), room));
            const std::size_t hidden = part.size() - room + 1;
            part.resize(room - 1);
            part.push_back("… and " + std::to_string(hidden) + " more");
        };
        shorten(lines, room_above);
        shorten(below, room_below);
    }
    std::string out;
    for (const auto* part : {&lines, &below}) {
        for (const std::string& line : *part)
            out += line + '\n';
    }
    return out;
}

}  // namespace ridgeline::collector
