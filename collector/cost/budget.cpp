#include "collector/cost/budget.h"

#include <algorithm>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kRefusedForMs = 600'000;
constexpr std::string_view kHead = "ridgeline cloudwatch budget 1\n";
constexpr std::size_t kFileBytesMax = std::size_t{256} << 20;

// FNV-1a 64, each text followed by a byte that ASCII cannot hold.
std::uint64_t hash_of(const MetricIdentity& metric) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    const auto add = [&](std::string_view text) {
        for (const char c : text)
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
        hash = (hash ^ 0xFFU) * 0x100000001b3ULL;
    };
    add(metric.name);
    add(metric.unit);
    for (const Dimension& dimension : metric.dimensions) {
        add(dimension.name);
        add(dimension.value);
    }
    return hash;
}

std::string text_of(const MetricIdentity& metric) {
    std::string text = metric.name;
    for (const Dimension& dimension : metric.dimensions)
        text += " " + dimension.name + "=" + dimension.value;
    return printable(text, 300);
}

}  // namespace

void SeriesBudget::turn_hour(std::int64_t hour) {
    if (hour == hour_) return;
    hour_ = hour;
    active_ = 0;
    for (auto it = admitted_.begin(); it != admitted_.end();) {
        if (it->second < hour - kRememberedHours) {
            it = admitted_.erase(it);
            continue;
        }
        active_ += it->second >= hour - 1 ? 1 : 0;
        ++it;
    }
}

bool SeriesBudget::admit(const MetricIdentity& metric, WallTime now) {
    const std::int64_t now_ms = to_unix_ms(now);
    turn_hour(now_ms / kHourMs);
    const std::uint64_t hash = hash_of(metric);
    if (const auto known = admitted_.find(hash); known != admitted_.end()) {
        if (known->second < hour_ - 1) ++active_;
        if (known->second != hour_) changed_ = true;
        known->second = hour_;
        return true;
    }
    const double cost = prices_.metrics_cost(static_cast<double>(active_ + 1)) + other_usd_;
    if (cost > usd_per_month_) {
        if (refused_.size() < kRefusedMax || refused_.contains(hash)) refused_[hash] = now_ms;
        example_ = text_of(metric);
        return false;
    }
    admitted_.emplace(hash, hour_);
    ++active_;
    changed_ = true;
    return true;
}

double SeriesBudget::estimate() const {
    return prices_.metrics_cost(static_cast<double>(active_)) + other_usd_;
}

std::size_t SeriesBudget::refused(WallTime now) {
    const std::int64_t oldest_ms = to_unix_ms(now) - kRefusedForMs;
    std::erase_if(refused_, [&](const auto& entry) { return entry.second < oldest_ms; });
    return refused_.size();
}

Result<void> SeriesBudget::load(const std::filesystem::path& file) {
    const auto text = read_file(file, kFileBytesMax);
    if (!text) {
        if (text.error().code == Errc::not_found) return {};
        return fail(text.error());
    }
    std::string_view rest = *text;
    const auto corrupt = [&] { return fail(Errc::corrupt, file.string() + ": not a budget book"); };
    if (!rest.starts_with(kHead)) return corrupt();
    rest.remove_prefix(kHead.size());
    while (!rest.empty()) {
        const auto fields = split(next_line(rest), ' ');
        const auto hash = fields.size() == 2 ? to_u64(fields[0]) : std::nullopt;
        const auto hour = fields.size() == 2 ? to_i64(fields[1]) : std::nullopt;
        if (!hash || !hour) return corrupt();
        admitted_[*hash] = *hour;
    }
    return {};
}

Result<void> SeriesBudget::save(const std::filesystem::path& file) {
    if (!changed_) return {};
    std::string text(kHead);
    for (const auto& [hash, hour] : admitted_)
        text += std::to_string(hash) + ' ' + std::to_string(hour) + '\n';
    RL_TRY(write_file_atomic(file, text));
    changed_ = false;
    return {};
}

}  // namespace ridgeline::collector
