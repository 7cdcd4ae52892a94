#include "common/base/units.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "common/base/text.h"

namespace ridgeline {

namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kDurationMaxMs = std::int64_t{100} * 365 * 24 * 3600 * 1000;

struct Scale {
    std::string_view suffix;
    std::uint64_t factor;
};
constexpr std::array kDurations = {Scale{"ms", 1},         Scale{"s", 1000},
                                   Scale{"m", 60'000},     Scale{"h", 3'600'000},
                                   Scale{"d", 86'400'000}, Scale{"w", 604'800'000}};
constexpr std::array kSizes = {Scale{"", 1},
                               Scale{"B", 1},
                               Scale{"KiB", 1ULL << 10},
                               Scale{"MiB", 1ULL << 20},
                               Scale{"GiB", 1ULL << 30},
                               Scale{"TiB", 1ULL << 40},
                               Scale{"KB", 1000},
                               Scale{"kB", 1000},
                               Scale{"MB", 1'000'000},
                               Scale{"GB", 1'000'000'000},
                               Scale{"TB", 1'000'000'000'000}};

std::string_view take_while(std::string_view& rest, bool (*wanted)(char)) {
    std::size_t n = 0;
    while (n < rest.size() && wanted(rest[n]))
        ++n;
    const std::string_view taken = rest.substr(0, n);
    rest.remove_prefix(n);
    return taken;
}

bool is_number_char(char c) {
    return (c >= '0' && c <= '9') || c == '.';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
}

// What may have been meant by a suffix that is none: "mins", "Sec", "gib", "G".
template <std::size_t N>
std::string_view nearest_suffix(const std::array<Scale, N>& scales, std::string_view suffix) {
    const std::string wanted = lower(suffix);
    if (wanted.starts_with("mo")) return {};  // months are none, and no minutes
    std::string_view best;
    for (const Scale& scale : scales) {
        const std::string known = lower(scale.suffix);
        if (known.empty()) continue;
        if (known == wanted) return scale.suffix;
        if (wanted.starts_with(known) && scale.suffix.size() > best.size()) best = scale.suffix;
    }
    if (!best.empty() || wanted.empty()) return best;
    const auto begun = std::find_if(scales.begin(), scales.end(), [&](const Scale& scale) {
        return lower(scale.suffix).starts_with(wanted);
    });
    return begun == scales.end() ? std::string_view() : begun->suffix;
}

std::string did_you_mean(std::string_view before, std::string_view suffix, std::string_view after) {
    if (suffix.empty()) return {};
    return "; did you mean \"" + std::string(before) + std::string(suffix) + std::string(after) +
           "\"?";
}

std::string formatted(const char* format, double value) {
    std::array<char, 64> buffer{};
    const int n = std::snprintf(buffer.data(), buffer.size(), format, value);
    return {buffer.data(), static_cast<std::size_t>(std::clamp(n, 0, 63))};
}

}  // namespace

Result<milliseconds> parse_duration(std::string_view text) {
    const std::string_view whole = text;
    const auto bad = [&](std::string_view before = {}, std::string_view suffix = {},
                         std::string_view after = {}) {
        return fail(
            Errc::invalid_argument,
            "\"" + std::string(whole) +
                "\" is not a duration; write for example \"250ms\", \"10s\", \"5m\" or \"30d\"" +
                did_you_mean(before, suffix, after));
    };
    if (text.empty()) return bad();
    double total = 0;
    while (!text.empty()) {
        const auto number = to_double(take_while(text, is_number_char));
        const std::string_view suffix = take_while(text, is_letter);
        const auto* scale = std::find_if(kDurations.begin(), kDurations.end(),
                                         [&](const Scale& s) { return s.suffix == suffix; });
        if (!number) return bad();
        if (scale == kDurations.end()) {
            const std::string_view before =
                whole.substr(0, whole.size() - text.size() - suffix.size());
            return bad(before, nearest_suffix(kDurations, suffix), text);
        }
        total += *number * static_cast<double>(scale->factor);
    }
    if (total > static_cast<double>(kDurationMaxMs)) return bad();
    return milliseconds{std::llround(total)};
}

std::string format_duration(milliseconds duration) {
    std::int64_t rest = duration.count();
    if (rest == 0) return "0s";
    std::string out;
    if (rest < 0) {
        out = "-";
        rest = -rest;
    }
    // Two units are what a reader takes in; "9d23h" rather than "9d23h14m2s".
    int shown = 0;
    for (const Scale& scale :
         {kDurations[4], kDurations[3], kDurations[2], kDurations[1], kDurations[0]}) {
        const auto factor = static_cast<std::int64_t>(scale.factor);
        if (rest < factor || shown == 2) {
            if (shown > 0) break;
            continue;
        }
        out += std::to_string(rest / factor) + std::string(scale.suffix);
        rest %= factor;
        ++shown;
    }
    return out;
}

Result<std::uint64_t> parse_size(std::string_view text) {
    const std::string_view whole = text;
    const auto number = to_double(take_while(text, is_number_char));
    text = trim(text);
    const auto* scale = std::find_if(kSizes.begin(), kSizes.end(),
                                     [&](const Scale& s) { return s.suffix == text; });
    if (!number || scale == kSizes.end() || *number * static_cast<double>(scale->factor) > 9e18) {
        const bool unit = number && scale == kSizes.end();
        return fail(Errc::invalid_argument,
                    "\"" + std::string(whole) +
                        "\" is not a size; write for example \"64KiB\", \"256MiB\" or \"8GiB\"" +
                        did_you_mean(whole.substr(0, whole.size() - text.size()),
                                     unit ? nearest_suffix(kSizes, text) : std::string_view(), ""));
    }
    return static_cast<std::uint64_t>(*number * static_cast<double>(scale->factor));
}

std::string format_size(double bytes) {
    constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    std::size_t unit = 0;
    double value = bytes;
    while (std::abs(value) >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return formatted(unit == 0 ? "%.0f" : "%.1f", value) + " " + kUnits[unit];
}

Result<double> parse_quantity(std::string_view text, std::string_view unit) {
    text = trim(text);
    if (const auto plain = to_double(text)) return *plain;
    if (text.ends_with('%')) {
        const auto number = to_double(trim(text.substr(0, text.size() - 1)));
        if (!number)
            return fail(Errc::invalid_argument,
                        "\"" + std::string(text) + "\" is not a percentage");
        if (unit != "1") {
            return fail(
                Errc::invalid_argument,
                "a percentage needs a ratio metric; this one's unit is " + std::string(unit));
        }
        return *number / 100;
    }
    const bool negative = text.starts_with('-');
    const std::string_view magnitude = negative ? text.substr(1) : text;
    const double sign = negative ? -1 : 1;
    if (unit == "s") {
        RL_ASSIGN_OR_RETURN(const auto duration, parse_duration(magnitude));
        return sign * static_cast<double>(duration.count()) / 1000;
    }
    if (unit == "By" || unit == "By/s") {
        RL_ASSIGN_OR_RETURN(const auto bytes, parse_size(magnitude));
        return sign * static_cast<double>(bytes);
    }
    return fail(Errc::invalid_argument,
                "\"" + std::string(text) + "\" is not a number in the metric's unit (" +
                    std::string(unit) + ")" + (unit == "1" ? "; write for example \"80%\"" : ""));
}

std::string format_quantity(double value, std::string_view unit) {
    if (unit == "1") return formatted("%.1f%%", value * 100);
    if (unit == "By") return format_size(value);
    if (unit == "By/s") return format_size(value) + "/s";
    if (unit == "s" && std::abs(value) < 1e14) {
        if (std::abs(value) < 10) return formatted("%.3gs", value);
        return format_duration(milliseconds{std::llround(value) * 1000});
    }
    return shortest(value);
}

std::string format_rfc3339(std::chrono::sys_time<milliseconds> t, bool with_milliseconds) {
    const auto day = std::chrono::floor<std::chrono::days>(t);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss time{t - day};
    std::array<char, 64> buffer{};
    int n = std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d",
                          static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                          static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                          static_cast<int>(time.minutes().count()),
                          static_cast<int>(time.seconds().count()));
    std::string out(buffer.data(), static_cast<std::size_t>(std::clamp(n, 0, 63)));
    if (with_milliseconds) {
        n = std::snprintf(buffer.data(), buffer.size(), ".%03d",
                          static_cast<int>(time.subseconds().count()));
        out.append(buffer.data(), static_cast<std::size_t>(std::clamp(n, 0, 63)));
    }
    return out + "Z";
}

Result<std::chrono::sys_time<milliseconds>> parse_rfc3339(std::string_view text) {
    const auto bad = [&] {
        return fail(Errc::invalid_argument,
                    "\"" + std::string(text) +
                        "\" is not a UTC time; write for example \"2026-11-23T13:05:09Z\"");
    };
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
        text[13] != ':' || text[16] != ':' || text.back() != 'Z') {
        return bad();
    }
    const auto number = [&](std::size_t at, std::size_t length) {
        return to_u64(text.substr(at, length));
    };
    const auto year = number(0, 4);
    const auto month = number(5, 2);
    const auto day = number(8, 2);
    const auto hour = number(11, 2);
    const auto minute = number(14, 2);
    const auto second = number(17, 2);
    if (!year || !month || !day || !hour || !minute || !second) return bad();
    if (*hour > 23 || *minute > 59 || *second > 59) return bad();
    std::uint64_t ms = 0;
    if (text.size() > 20) {
        const std::string_view fraction = text.substr(20, text.size() - 21);
        if (text[19] != '.' || fraction.empty() || fraction.size() > 3) return bad();
        const auto digits = to_u64(fraction);
        if (!digits) return bad();
        ms = *digits * (fraction.size() == 1 ? 100U : fraction.size() == 2 ? 10U : 1U);
    }
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                           std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)}};
    if (!date.ok()) return bad();
    const std::uint64_t of_day_ms = ((*hour * 60 + *minute) * 60 + *second) * 1000 + ms;
    return std::chrono::sys_time<milliseconds>{std::chrono::sys_days{date}.time_since_epoch() +
                                               milliseconds{static_cast<std::int64_t>(of_day_ms)}};
}

}  // namespace ridgeline
