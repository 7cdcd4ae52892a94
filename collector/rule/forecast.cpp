#include "collector/rule/forecast.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ridgeline::collector {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kZ95 = 1.959964;  // of the normal distribution, two-sided 95 %

struct Point {
    double t_s;
    double value;
};

double seconds_until(double distance, double slope) {
    const double seconds = slope > 0 ? distance / slope : kNever;
    return std::isnan(seconds) ? kNever : seconds;  // values near the end of what a double holds
}

}  // namespace

void Forecast::forget_before(std::int64_t first_index) {
    bool forgot = false;
    while (!parts_.empty() && parts_.front().index < first_index) {
        count_ -= parts_.front().count;
        parts_.pop_front();
        forgot = true;
    }
    if (!forgot) return;
    if (parts_.empty()) line_.reset();
    peak_ = -kNever;
    for (std::size_t i = 0; i + 1 < parts_.size(); ++i)
        peak_ = std::max(peak_, parts_[i].peak);
}

// Neighbours are taken together so that at most kPointsMax points remain, on boundaries that do not
// depend on which parts there are.
void Forecast::draw(std::int64_t part_ms) {
    line_.reset();
    constexpr std::uint32_t kStride = kParts / kPointsMax;
    const bool thin = parts_.size() > kPointsMax;
    std::vector<Point> points;
    points.reserve(kPointsMax);
    const std::uint32_t origin = parts_.front().index;
    std::uint32_t group = 0;
    double weight = 0;
    Point sum{0, 0};
    const auto close = [&] {
        if (weight > 0 && std::isfinite(sum.value))
            points.push_back({sum.t_s / weight, sum.value / weight});
        sum = {0, 0};
        weight = 0;
    };
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        const Part& part = parts_[i];
        if (!thin || part.index / kStride != group) close();
        group = part.index / kStride;
        const auto n = static_cast<double>(part.count);
        sum.t_s +=
            (static_cast<double>((part.index - origin) * part_ms) + part.time_sum_ms / n) / 1000;
        sum.value += part.value_sum / n;
        weight += 1;
    }
    close();
    if (points.size() < kPointsMin) return;
    std::vector<double> slopes;
    slopes.reserve(points.size() * (points.size() - 1) / 2);
    for (std::size_t i = 0; i < points.size(); ++i) {
        for (std::size_t j = i + 1; j < points.size(); ++j)
            slopes.push_back((points[j].value - points[i].value) / (points[j].t_s - points[i].t_s));
    }
    const auto n = static_cast<double>(points.size());
    const auto pairs = static_cast<double>(slopes.size());
    // Where Kendall's statistic puts the band around the median slope (P. K. Sen, Estimates of the
    // Regression Coefficient Based on Kendall's Tau, 1968).
    const double reach = kZ95 * std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
    const auto ranked = [&](double rank) {
        const auto at = static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, pairs - 1));
        std::nth_element(slopes.begin(), slopes.begin() + at, slopes.end());
        return slopes[static_cast<std::size_t>(at)];
    };
    const double middle = std::floor((pairs - 1) / 2);
    const double median =
        slopes.size() % 2 == 1 ? ranked(middle) : ranked(middle) / 2 + ranked(middle + 1) / 2;
    line_ = Line{median, ranked(std::ceil((pairs + reach) / 2)),
                 ranked(std::floor((pairs - reach) / 2) - 1)};
}

std::optional<Eta> Forecast::add(const ForecastSettings& settings, std::int64_t time_ms,
                                 double value, std::optional<double> target) {
    const std::int64_t part_ms = std::max<std::int64_t>(1, settings.window.count() / kParts);
    const auto index = static_cast<std::uint32_t>(time_ms / part_ms);
    forget_before((time_ms - settings.window.count()) / part_ms + 1);
    const double peak =
        parts_.empty() ? value : std::max(parts_.size() > 1 ? peak_ : -kNever, parts_.back().peak);
    const double size = target ? *target : std::abs(peak);
    if (peak - value > settings.reset_on_drop * size) {
        parts_.clear();
        count_ = 0;
        line_.reset();
    }
    if (parts_.empty() || parts_.back().index != index) {
        if (!parts_.empty()) {
            peak_ = parts_.size() > 1 ? std::max(peak_, parts_.back().peak) : parts_.back().peak;
            draw(part_ms);
        }
        parts_.push_back({index, 0, 0, 0, value});
    }
    Part& part = parts_.back();
    ++part.count;
    part.time_sum_ms += static_cast<double>(time_ms % part_ms);
    part.value_sum += value;
    part.peak = std::max(part.peak, value);
    ++count_;
    if (!line_ || !target || count_ < settings.points_min) return {};
    Eta eta{kNever, kNever, kNever, line_->slope};
    if (line_->slope <= 0 || value < settings.used_min * *target) return eta;
    const double distance = std::max(0.0, *target - value);
    eta.seconds = seconds_until(distance, line_->slope);
    eta.earliest_s = seconds_until(distance, line_->steepest);
    eta.latest_s = seconds_until(distance, line_->flattest);
    return eta;
}

}  // namespace ridgeline::collector
