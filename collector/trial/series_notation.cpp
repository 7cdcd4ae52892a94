#include "collector/trial/series_notation.h"

#include <string>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

Error wrong(std::string_view item, const std::string& why) {
    return {Errc::invalid_argument, 0, '"' + printable(item, 60) + "\": " + why};
}

struct Repeated {
    std::string_view what;
    std::size_t times = 1;
};

// "85%x40" -> 85% and 40. What follows the last 'x' must be the count.
Result<Repeated> split_count(std::string_view item) {
    const std::size_t x = item.rfind('x');
    if (x == std::string_view::npos) return Repeated{item, 1};
    const auto times = to_u64(item.substr(x + 1));
    if (!times || *times == 0 || *times > kNotationValuesMax) {
        return fail(wrong(
            item, "after the x goes how often, from 1 to " + std::to_string(kNotationValuesMax)));
    }
    return Repeated{item.substr(0, x), static_cast<std::size_t>(*times)};
}

Result<double> value_of(std::string_view text, std::string_view item, std::string_view unit) {
    const auto value = parse_quantity(text, unit);
    if (!value) return fail(wrong(item, value.error().context));
    return *value;
}

}  // namespace

Result<std::vector<std::optional<double>>> parse_series(std::string_view text,
                                                        std::string_view unit) {
    std::vector<std::optional<double>> values;
    for (std::string_view item = next_field(text); !item.empty(); item = next_field(text)) {
        RL_ASSIGN_OR_RETURN(const Repeated repeated, split_count(item));
        if (values.size() + repeated.times > kNotationValuesMax) {
            return fail(wrong(item, "a series may have " + std::to_string(kNotationValuesMax) +
                                        " values at most"));
        }
        if (repeated.what == "_") {
            values.insert(values.end(), repeated.times, std::nullopt);
            continue;
        }
        const std::size_t dots = repeated.what.find("..");
        if (dots == std::string_view::npos) {
            RL_ASSIGN_OR_RETURN(const double value, value_of(repeated.what, item, unit));
            values.insert(values.end(), repeated.times, value);
            continue;
        }
        RL_ASSIGN_OR_RETURN(const double from, value_of(repeated.what.substr(0, dots), item, unit));
        RL_ASSIGN_OR_RETURN(const double to, value_of(repeated.what.substr(dots + 2), item, unit));
        if (repeated.times < 2)
            return fail(wrong(item, "a ramp says of how many values it is, such as 60%..90%x31"));
        const auto steps = static_cast<double>(repeated.times - 1);
        for (std::size_t i = 0; i < repeated.times; ++i)
            values.emplace_back(from + (to - from) * static_cast<double>(i) / steps);
        values.back() = to;  // whatever rounding made of it
    }
    if (values.empty())
        return fail(Errc::invalid_argument, "an empty series; write values such as \"70%x19\"");
    return values;
}

}  // namespace ridgeline::collector
