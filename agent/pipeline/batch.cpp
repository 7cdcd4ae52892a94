#include "agent/pipeline/batch.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "common/wire/block_codec.h"

namespace ridgeline::agent {

namespace {

constexpr SlotId kRefusedSlot{~std::uint32_t{0}};

bool within_limits(const SeriesDescriptor& series) {
    const wire::Limits limits;
    if (series.metric.size() > limits.text_bytes) return false;
    if (series.attributes.size() > limits.attributes_per_series) return false;
    return std::all_of(series.attributes.begin(), series.attributes.end(), [&](const Attribute& a) {
        return a.key.size() <= limits.text_bytes && a.value.size() <= limits.text_bytes;
    });
}

// A series as one string, a third of what it takes as a descriptor: its texts, each after its
// length in two bytes (wire::Limits::text_bytes fits). Equal series are packed equally.
void pack_text(std::string_view text, std::string& out) {
    out += static_cast<char>(text.size() & 0xff);
    out += static_cast<char>(text.size() >> 8);
    out += text;
}

std::string pack(const SeriesDescriptor& series) {
    std::size_t size = 2 + series.metric.size();
    for (const Attribute& a : series.attributes)
        size += 4 + a.key.size() + a.value.size();
    std::string out;
    out.reserve(size);
    pack_text(series.metric, out);
    for (const Attribute& a : series.attributes) {
        pack_text(a.key, out);
        pack_text(a.value, out);
    }
    return out;
}

std::string_view unpack_text(std::string_view& rest) {
    const auto size = static_cast<std::size_t>(static_cast<unsigned char>(rest[0])) |
                      static_cast<std::size_t>(static_cast<unsigned char>(rest[1])) << 8;
    const std::string_view text = rest.substr(2, size);
    rest.remove_prefix(2 + size);
    return text;
}

SeriesDescriptor unpack(std::string_view packed) {
    SeriesDescriptor series{std::string(unpack_text(packed)), {}};
    while (!packed.empty()) {
        const std::string_view key = unpack_text(packed);
        series.attributes.push_back({std::string(key), std::string(unpack_text(packed))});
    }
    return series;
}

// At most, in wire::encode_schema: the series and each of its texts have a tag and a length of up
// to 3 bytes (Protobuf's encoding).
std::size_t encoded_bytes(std::string_view packed) {
    constexpr std::size_t kFrameBytes = 4;
    std::size_t bytes = kFrameBytes;
    while (!packed.empty())
        bytes += kFrameBytes + unpack_text(packed).size();
    return bytes;
}

// Room in the message for what is not series.
constexpr std::size_t kSchemaBytesMax = wire::Limits{}.message_bytes - 64 * 1024;

}  // namespace

SampleGroup to_columns(const std::vector<std::int64_t>& stamps_ms, const std::vector<double>& rows,
                       std::size_t columns) {
    SampleGroup group;
    group.timestamps_ms = stamps_ms;
    group.series_count = columns;
    group.values.resize(rows.size());
    const std::size_t rounds = stamps_ms.size();
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t column = 0; column < columns; ++column) {
            group.values[column * rounds + round] = rows[round * columns + column];
        }
    }
    return group;
}

void Batcher::begin_round(std::string_view source, const SampleInstant& at) {
    const auto it = std::find_if(groups_.begin(), groups_.end(),
                                 [&](const Group& group) { return group.source == source; });
    current_ = static_cast<std::uint32_t>(it - groups_.begin());
    // Slots point to keys in a group's map: they must survive the growth of groups_.
    static_assert(std::is_nothrow_move_constructible_v<Group>);
    if (it == groups_.end()) groups_.emplace_back().source = source;
    Group& group = groups_[current_];
    group.row.assign(group.slots.size(), kNoValue);
    current_stamp_ms_ = to_unix_ms(at.wall);
    in_round_ = true;
}

SlotId Batcher::declare(std::string_view metric, Attributes attributes) {
    if (!in_round_) return kRefusedSlot;
    Group& group = groups_[current_];
    normalise(attributes);
    const SeriesDescriptor series{std::string(metric), std::move(attributes)};
    if (!within_limits(series)) {
        ++counts_.series_refused;
        return kRefusedSlot;
    }
    std::string packed = pack(series);
    if (const auto known = group.slot_of.find(packed); known != group.slot_of.end()) {
        slots_[known->second].retired = false;
        return SlotId{known->second};
    }
    // The collector counts a group like a series.
    const bool full = series_ + groups_.size() >= wire::Limits{}.series_per_schema ||
                      schema_bytes_ + encoded_bytes(packed) > kSchemaBytesMax;
    if (frozen_ || full) {
        ++counts_.series_refused;
        return kRefusedSlot;
    }
    if (!std::count(schema_order_.begin(), schema_order_.end(), current_))
        schema_order_.push_back(current_);
    auto id = static_cast<std::uint32_t>(slots_.size());
    if (free_slots_.empty()) {
        slots_.emplace_back();
    } else {
        id = free_slots_.back();
        free_slots_.pop_back();
    }
    const auto known = group.slot_of.emplace(std::move(packed), id).first;
    slots_[id] =
        Slot{&known->first, current_, static_cast<std::uint32_t>(group.slots.size()), false};
    group.slots.push_back(id);
    group.row.push_back(kNoValue);
    ++series_;
    schema_bytes_ += encoded_bytes(*slots_[id].series);
    schema_dirty_ = true;
    return SlotId{id};
}

void Batcher::retire(SlotId slot) {
    const auto id = static_cast<std::uint32_t>(slot);
    if (id >= slots_.size()) return;
    slots_[id].retired = true;
    any_retired_ = true;
}

void Batcher::record(SlotId slot, double value) {
    const auto id = static_cast<std::uint32_t>(slot);
    if (!std::isfinite(value)) {
        ++counts_.values_refused;
        return;
    }
    if (id >= slots_.size() || slots_[id].retired || slots_[id].group != current_) return;
    std::vector<double>& row = groups_[current_].row;
    if (slots_[id].column < row.size()) row[slots_[id].column] = value;
}

bool Batcher::must_seal_before(const Group& group) const {
    if (rounds_ > 0 && values_ + group.columns > kBatchSamplesMax) return true;
    if (group.stamps_ms.empty())
        return false;  // a series of a group without rounds extends the schema
    if (schema_dirty_) return true;
    return current_stamp_ms_ <= group.stamps_ms.back() ||
           group.stamps_ms.size() >= wire::Limits{}.ticks_per_group;
}

std::optional<SealedBatch> Batcher::end_round(WallTime wall, MonoTime mono) {
    in_round_ = false;
    std::optional<SealedBatch> sealed;
    if (must_seal_before(groups_[current_])) sealed = seal(wall, mono);
    if (schema_dirty_ || (any_retired_ && rounds_ == 0)) rebuild_schema();
    Group& group = groups_[current_];
    if (group.columns == 0) return sealed;
    group.stamps_ms.push_back(current_stamp_ms_);
    group.rows.insert(group.rows.end(), group.row.begin(), group.row.end());
    ++rounds_;
    values_ += group.columns;
    counts_.samples += static_cast<std::uint64_t>(
        std::count_if(group.row.begin(), group.row.end(), [](double v) { return has_value(v); }));
    return sealed;
}

std::optional<RoundView> Batcher::last_round() const {
    const Group& group = groups_[current_];
    if (group.stamps_ms.empty()) return std::nullopt;
    return RoundView{group.schema_group, group.stamps_ms.back(), group.row};
}

void Batcher::shift_stamps(std::chrono::milliseconds by) {
    for (Group& group : groups_) {
        for (std::int64_t& stamp_ms : group.stamps_ms)
            stamp_ms += by.count();
    }
}

std::optional<SealedBatch> Batcher::seal(WallTime wall, MonoTime mono) {
    if (rounds_ == 0) return std::nullopt;
    SampleBlock block;
    for (const std::uint32_t index : schema_order_) {
        Group& group = groups_[index];
        if (group.columns == 0) continue;
        block.groups.push_back(to_columns(group.stamps_ms, group.rows, group.columns));
        group.stamps_ms.clear();
        group.rows.clear();
    }
    rounds_ = 0;
    values_ = 0;
    SealedBatch sealed;
    sealed.schema = schema_;
    sealed.body.schema_hash = schema_hash_;
    sealed.body.sealed_wall_ms = to_unix_ms(wall);
    sealed.body.sealed_mono_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(mono.time_since_epoch()).count();
    sealed.body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    sealed.body.columns = wire::encode_block(block);
    return sealed;
}

void Batcher::drop_retired(Group& group) {
    std::vector<std::uint32_t> slots;
    std::vector<double> row;
    for (std::size_t column = 0; column < group.slots.size(); ++column) {
        const std::uint32_t id = group.slots[column];
        if (slots_[id].retired) {
            schema_bytes_ -= encoded_bytes(*slots_[id].series);
            group.slot_of.erase(group.slot_of.find(*slots_[id].series));
            slots_[id] = Slot{};
            free_slots_.push_back(id);
            --series_;
            continue;
        }
        slots_[id].column = static_cast<std::uint32_t>(slots.size());
        slots.push_back(id);
        row.push_back(column < group.row.size() ? group.row[column] : kNoValue);
    }
    group.slots = std::move(slots);
    group.row = std::move(row);
}

void Batcher::rebuild_schema() {
    Schema schema;
    const bool begins_batch = rounds_ == 0;
    for (const std::uint32_t index : schema_order_) {
        Group& group = groups_[index];
        if (begins_batch) drop_retired(group);
        group.columns = group.slots.size();
        if (group.columns == 0) continue;
        group.schema_group = static_cast<std::uint32_t>(schema.groups.size());
        SchemaGroup& described = schema.groups.emplace_back();
        described.source = group.source;
        described.series.reserve(group.slots.size());
        for (const std::uint32_t id : group.slots)
            described.series.push_back(unpack(*slots_[id].series));
        group.stamps_ms.reserve(rounds_expected_);
        group.rows.reserve(rounds_expected_ * group.columns);
    }
    schema_hash_ = ridgeline::schema_hash(schema);
    schema_ = std::make_shared<const std::string>(wire::encode_schema(schema));
    schema_dirty_ = false;
    if (begins_batch) any_retired_ = false;
}

}  // namespace ridgeline::agent
