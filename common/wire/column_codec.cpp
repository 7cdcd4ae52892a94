#include "common/wire/column_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/nearest_integer.h"
#include "common/metric/sample_block.h"

namespace ridgeline::wire {

namespace {

enum Kind : std::uint8_t {
    kAbsent = 0,
    kConstant = 1,
    kScaled = 2,
    kXor = 3,
    kKindMask = 0x7F,
    kGaps = 0x80
};

// Up to 10^6: sources round ratios to 4 decimals and seconds to at most 6; more would leave 2^53
// too soon.
constexpr int kDecimalsMax = 6;
constexpr std::array<double, kDecimalsMax + 1> kPowers = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
// Scaled values stay where a double holds every integer, so that the division on decoding is exact.
constexpr double kScaledMax = 4503599627370496.0;  // 2^52

std::uint64_t zigzag(std::int64_t v) {
    return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
std::int64_t unzigzag(std::uint64_t v) {
    return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}
// Two's complement arithmetic: a hostile column may overflow, which must wrap rather than be
// undefined.
std::int64_t wrap_add(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t wrap_sub(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

void put_double(std::string& out, double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int i = 0; i < 8; ++i)
        out += static_cast<char>(bits >> (8 * i));
}

std::optional<double> take_double(std::string_view& in) {
    if (in.size() < 8) return {};
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i)
        bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
    in.remove_prefix(8);
    const auto value = std::bit_cast<double>(bits);
    if (!std::isfinite(value)) return {};
    return value;
}

tl::unexpected<Error> corrupt(const char* what) {
    return fail(Errc::corrupt, std::string("column: ") + what);
}

void encode_integers(std::span<const std::int64_t> values, std::string& out) {
    std::int64_t previous = 0;
    std::int64_t previous_delta = 0;
    std::uint64_t zeros = 0;
    const auto flush_zeros = [&] {
        if (zeros == 0) return;
        out += '\0';
        put_varint(out, zeros - 1);
        zeros = 0;
    };
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::int64_t delta = wrap_sub(values[i], previous);
        const std::int64_t coded = i == 0   ? values[i]
                                   : i == 1 ? delta
                                            : wrap_sub(delta, previous_delta);
        if (i >= 2 && coded == 0) {
            ++zeros;
        } else {
            flush_zeros();
            put_varint(out, zigzag(coded));
        }
        previous = values[i];
        previous_delta = i == 0 ? 0 : delta;
    }
    flush_zeros();
}

Result<void> decode_integers(std::string_view& in, std::span<std::int64_t> values) {
    std::int64_t previous = 0;
    std::int64_t delta = 0;
    std::uint64_t zeros = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (zeros > 0) {
            --zeros;
        } else {
            const auto coded = take_varint(in);
            if (!coded) return corrupt("cut short");
            if (i == 0) {
                previous = unzigzag(*coded);
                values[0] = previous;
                continue;
            }
            if (i == 1) {
                delta = unzigzag(*coded);
            } else if (*coded != 0) {
                delta = wrap_add(delta, unzigzag(*coded));
            } else {
                const auto more = take_varint(in);
                if (!more || *more >= values.size() - i)
                    return corrupt("a run is longer than the column");
                zeros = *more;
            }
        }
        previous = wrap_add(previous, delta);
        values[i] = previous;
    }
    return {};
}

// The smallest number of decimals with which every value is an integer that reads back bit for bit.
std::optional<int> common_decimals(std::span<const double> values) {
    int decimals = 0;
    for (const double value : values) {
        for (;; ++decimals) {
            if (decimals > kDecimalsMax) return {};
            const double power = kPowers[static_cast<std::size_t>(decimals)];
            const double scaled = nearest_integer(value * power);
            if (std::abs(scaled) > kScaledMax) return {};
            if (scaled / power == value) break;
        }
    }
    return decimals;
}

void encode_scaled(std::span<const double> values, int decimals, std::string& out) {
    std::vector<std::int64_t> integers(values.size());
    const double power = kPowers[static_cast<std::size_t>(decimals)];
    for (std::size_t i = 0; i < values.size(); ++i) {
        integers[i] = static_cast<std::int64_t>(nearest_integer(values[i] * power));
    }
    out += static_cast<char>(decimals);
    encode_integers(integers, out);
}

Result<void> decode_scaled(std::string_view& in, std::span<double> values) {
    if (in.empty() || static_cast<unsigned char>(in[0]) > kDecimalsMax)
        return corrupt("too many decimals");
    const double power = kPowers[static_cast<unsigned char>(in[0])];
    in.remove_prefix(1);
    std::vector<std::int64_t> integers(values.size());
    RL_TRY(decode_integers(in, integers));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<double>(integers[i]) / power;
    return {};
}

void encode_xor(std::span<const double> values, std::string& out) {
    put_double(out, values[0]);
    auto previous = std::bit_cast<std::uint64_t>(values[0]);
    for (const double value : values.subspan(1)) {
        const auto bits = std::bit_cast<std::uint64_t>(value);
        const std::uint64_t difference = bits ^ previous;
        previous = bits;
        if (difference == 0) {
            out += '\0';
            continue;
        }
        const int leading = std::countl_zero(difference) / 8;
        const int trailing = std::countr_zero(difference) / 8;
        const int kept = 8 - leading - trailing;
        out += static_cast<char>((leading << 4) | kept);
        for (int i = 0; i < kept; ++i)
            out += static_cast<char>(difference >> (8 * (trailing + i)));
    }
}

Result<void> decode_xor(std::string_view& in, std::span<double> values) {
    const auto first = take_double(in);
    if (!first) return corrupt("cut short or not finite");
    values[0] = *first;
    auto bits = std::bit_cast<std::uint64_t>(*first);
    for (double& value : values.subspan(1)) {
        if (in.empty()) return corrupt("cut short");
        const auto head = static_cast<unsigned char>(in[0]);
        in.remove_prefix(1);
        const std::size_t leading = head >> 4;
        const std::size_t kept = head & 15;
        if (head != 0) {
            if (kept == 0 || leading + kept > 8 || in.size() < kept)
                return corrupt("bad XOR bytes");
            const std::size_t trailing = 8 - leading - kept;
            for (std::size_t i = 0; i < kept; ++i) {
                bits ^= static_cast<std::uint64_t>(static_cast<unsigned char>(in[i]))
                        << (8 * (trailing + i));
            }
            in.remove_prefix(kept);
        }
        value = std::bit_cast<double>(bits);
        if (!std::isfinite(value)) return corrupt("not a finite value");
    }
    return {};
}

void encode_present(std::span<const double> values, std::uint8_t gaps, std::string& out,
                    std::string_view gap_runs) {
    const auto begin = [&](Kind kind) {
        out += static_cast<char>(kind | gaps);
        out += gap_runs;
    };
    const bool constant = std::all_of(values.begin(), values.end(), [&](double v) {
        return std::bit_cast<std::uint64_t>(v) == std::bit_cast<std::uint64_t>(values[0]);
    });
    if (constant) {
        begin(kConstant);
        put_double(out, values[0]);
    } else if (const auto decimals = common_decimals(values)) {
        begin(kScaled);
        encode_scaled(values, *decimals, out);
    } else {
        begin(kXor);
        encode_xor(values, out);
    }
}

Result<void> decode_present(Kind kind, std::string_view& in, std::span<double> values) {
    switch (kind) {
        case kConstant: {
            const auto value = take_double(in);
            if (!value) return corrupt("cut short or not finite");
            std::fill(values.begin(), values.end(), *value);
            return {};
        }
        case kScaled:
            return decode_scaled(in, values);
        case kXor:
            return decode_xor(in, values);
        default:
            return corrupt("of an unknown kind");
    }
}

// Moves the `present` values at the front of `values` to the instants that have one.
Result<void> spread(std::span<const std::uint64_t> runs, std::size_t present,
                    std::span<double> values) {
    std::size_t to = values.size();
    std::size_t from = present;
    for (std::size_t i = runs.size(); i-- > 0;) {
        for (std::uint64_t n = 0; n < runs[i]; ++n) {
            --to;
            values[to] = i % 2 == 0 ? values[--from] : kNoValue;
        }
    }
    return {};
}

}  // namespace

void put_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>(value | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

std::optional<std::uint64_t> take_varint(std::string_view& in) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in.empty()) return {};
        const auto byte = static_cast<unsigned char>(in[0]);
        in.remove_prefix(1);
        value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) return value;
    }
    return {};
}

void encode_column(std::span<const double> values, std::string& out) {
    std::vector<double> present;
    std::string gap_runs;
    std::uint64_t run = 0;
    bool in_present = true;
    for (const double value : values) {
        if (has_value(value) != in_present) {
            put_varint(gap_runs, run);
            run = 0;
            in_present = !in_present;
        }
        ++run;
        if (in_present) present.push_back(value);
    }
    put_varint(gap_runs, run);
    if (present.empty()) {
        out += static_cast<char>(kAbsent);
    } else if (present.size() == values.size()) {
        encode_present(values, 0, out, {});
    } else {
        encode_present(present, kGaps, out, gap_runs);
    }
}

Result<void> decode_column(std::string_view& in, std::span<double> values) {
    if (in.empty()) return corrupt("cut short");
    const auto head = static_cast<unsigned char>(in[0]);
    in.remove_prefix(1);
    const auto kind = static_cast<Kind>(head & kKindMask);
    if (head == kAbsent) {
        std::fill(values.begin(), values.end(), kNoValue);
        return {};
    }
    if (values.empty()) return corrupt("values for no instants");
    if ((head & kGaps) == 0) return decode_present(kind, in, values);

    std::vector<std::uint64_t> runs;
    std::size_t covered = 0;
    std::size_t present = 0;
    while (covered < values.size()) {
        const auto run = take_varint(in);
        // Only the first run may be empty (the column starts with a gap); others would make a
        // decoder spin.
        if (!run || *run > values.size() - covered || (*run == 0 && !runs.empty()))
            return corrupt("bad gap runs");
        if (runs.size() % 2 == 0) present += static_cast<std::size_t>(*run);
        covered += static_cast<std::size_t>(*run);
        runs.push_back(*run);
    }
    if (present == 0) return corrupt("a gapped column without values");
    RL_TRY(decode_present(kind, in, values.first(present)));
    return spread(runs, present, values);
}

void encode_timestamps(std::span<const std::int64_t> timestamps_ms, std::string& out) {
    encode_integers(timestamps_ms, out);
}

Result<void> decode_timestamps(std::string_view& in, std::span<std::int64_t> timestamps_ms) {
    return decode_integers(in, timestamps_ms);
}

}  // namespace ridgeline::wire
