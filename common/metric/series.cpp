#include "common/metric/series.h"

#include <algorithm>

#include "common/metric/sample_block.h"

namespace ridgeline {

void normalise(Attributes& attributes) {
    std::stable_sort(attributes.begin(), attributes.end(),
                     [](const Attribute& a, const Attribute& b) { return a.key < b.key; });
    const auto same_key = [](const Attribute& a, const Attribute& b) { return a.key == b.key; };
    attributes.erase(std::unique(attributes.begin(), attributes.end(), same_key), attributes.end());
}

const std::string* find_attribute(const Attributes& attributes, std::string_view key) {
    for (const Attribute& attribute : attributes) {
        if (attribute.key == key) return &attribute.value;
    }
    return nullptr;
}

std::size_t series_weight(const SeriesDescriptor& series) {
    constexpr std::size_t kTextPerSeries = 512;
    std::size_t text = series.metric.size();
    for (const Attribute& attribute : series.attributes)
        text += attribute.key.size() + attribute.value.size();
    return 1 + text / kTextPerSeries;
}

std::string to_string(const SeriesDescriptor& series) {
    std::string out = series.metric;
    if (series.attributes.empty()) return out;
    char separator = '{';
    for (const Attribute& attribute : series.attributes) {
        out += separator;
        separator = ',';
        out += attribute.key + "=\"";
        for (const char c : attribute.value) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    return out + '}';
}

std::size_t Schema::series_count() const {
    std::size_t count = 0;
    for (const SchemaGroup& group : groups)
        count += group.series.size();
    return count;
}

std::uint64_t schema_hash(const Schema& schema) {
    // FNV-1a, 64 bit: offset basis and prime from http://www.isthe.com/chongo/tech/comp/fnv/. Each
    // text is followed by a byte that UTF-8 cannot hold, so that no two schemas share a canonical
    // form.
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    const auto add_byte = [&](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3ULL; };
    const auto add = [&](std::string_view text, unsigned char end) {
        for (const char c : text)
            add_byte(static_cast<unsigned char>(c));
        add_byte(end);
    };
    for (const SchemaGroup& group : schema.groups) {
        add(group.source, 0xFF);
        for (const SeriesDescriptor& series : group.series) {
            add(series.metric, 0xFE);
            for (const Attribute& attribute : series.attributes) {
                add(attribute.key, 0xFD);
                add(attribute.value, 0xFC);
            }
        }
    }
    return hash;
}

std::size_t SampleBlock::sample_count() const {
    std::size_t count = 0;
    for (const SampleGroup& group : groups) {
        for (const double value : group.values)
            count += has_value(value) ? 1 : 0;
    }
    return count;
}

}  // namespace ridgeline
