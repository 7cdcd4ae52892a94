#include "agent/pipeline/head_journal.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/wire/block_codec.h"

namespace ridgeline::agent {

namespace {

constexpr SegmentFormat kHeadFormat = {{'R', 'L', 'H', 'E', 'A', 'D', '1', '\n'}, 2};

enum : std::uint8_t { kSchemaRecord = 1, kRoundsRecord = 2, kBootRecord = 3, kUnsetRecord = 4 };

// Rebuilds the columns of a batch from its rounds.
struct Rounds {
    Schema schema;
    struct Group {
        std::vector<std::int64_t> stamps_ms;
        std::vector<double> rows;
    };
    std::vector<Group> groups;

    // False when it changes a group that has rounds.
    bool extend(Schema longer) {
        if (longer.groups.size() < groups.size()) return false;
        for (std::size_t i = 0; i < groups.size(); ++i) {
            if (!groups[i].stamps_ms.empty() && longer.groups[i] != schema.groups[i]) return false;
        }
        schema = std::move(longer);
        groups.resize(schema.groups.size());
        return true;
    }

    // False when the bytes are not of this schema; what was read before stays.
    bool add(ByteReader in) {
        while (!in.empty()) {
            const auto group = in.u32();
            const auto count = in.u32();
            const auto stamp = in.u64();
            if (!stamp || *group >= groups.size() || *count != schema.groups[*group].series.size())
                return false;
            if (in.rest().size() < *count * sizeof(double)) return false;
            groups[*group].stamps_ms.push_back(static_cast<std::int64_t>(*stamp));
            for (std::uint32_t i = 0; i < *count; ++i)
                groups[*group].rows.push_back(*in.f64());
        }
        return true;
    }

    void shift_stamps(std::chrono::milliseconds by) {
        for (Group& group : groups) {
            for (std::int64_t& stamp_ms : group.stamps_ms)
                stamp_ms += by.count();
        }
    }

    std::optional<SealedBatch> seal() const {
        SampleBlock block;
        std::int64_t newest_ms = 0;
        bool any = false;
        for (std::size_t i = 0; i < groups.size(); ++i) {
            const Group& group = groups[i];
            block.groups.push_back(
                to_columns(group.stamps_ms, group.rows, schema.groups[i].series.size()));
            if (group.stamps_ms.empty()) continue;
            newest_ms = any ? std::max(newest_ms, group.stamps_ms.back()) : group.stamps_ms.back();
            any = true;
        }
        if (!any) return std::nullopt;
        SealedBatch sealed;
        sealed.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
        sealed.body.schema_hash = schema_hash(schema);
        // The run that took them is gone, and with it its monotonic clock.
        sealed.body.sealed_wall_ms = newest_ms;
        sealed.body.sample_count = static_cast<std::uint32_t>(block.sample_count());
        sealed.body.columns = wire::encode_block(block);
        return sealed;
    }
};

}  // namespace

Result<SegmentScan> scan_head(Storage& storage, std::string& boot_id) {
    return scan_segment(storage, kHeadFileName, kHeadFormat, [&](const Record& record) {
        if (record.type == kBootRecord) boot_id = as_text(record.payload);
    });
}

Result<std::optional<HeadJournal::Recovered>> HeadJournal::recover(
    Storage& storage, std::string_view boot_id, std::optional<ClockOffset> offset) {
    auto reader = SegmentReader::open(storage, kHeadFileName, kHeadFormat);
    if (!reader) {
        // None yet, or killed in the middle of making the first one.
        const Errc code = reader.error().code;
        if (code == Errc::not_found || code == Errc::corrupt) return std::optional<Recovered>{};
        return fail(std::move(reader).error());
    }
    const std::uint32_t version = reader->version();
    std::optional<Recovered> recovered;
    std::optional<ClockOffset> unset;
    bool of_this_boot = false;
    Rounds rounds;
    for (;;) {
        const auto record = reader->next();
        if (!record || !*record) break;  // the end, or a torn tail
        ByteReader in((*record)->payload);
        if ((*record)->type == kSchemaRecord) {
            const auto epoch = version == 1 ? std::optional<std::uint64_t>(0) : in.u64();
            const auto number = in.u64();
            auto schema = wire::decode_schema(as_text(in.rest()), wire::Limits{});
            if (!epoch || !number || !schema || !rounds.extend(std::move(*schema))) break;
            recovered = Recovered{{*epoch, *number}, std::nullopt, version};
        } else if ((*record)->type == kBootRecord) {
            of_this_boot = as_text(in.rest()) == boot_id;
            if (version == 1 && !of_this_boot) return std::optional<Recovered>{};
        } else if ((*record)->type == kUnsetRecord) {
            if (const auto ms = in.u64()) unset = ClockOffset{static_cast<std::int64_t>(*ms)};
        } else if ((*record)->type != kRoundsRecord || !rounds.add(in)) {
            break;
        }
    }
    if (!recovered) return recovered;
    if (unset && of_this_boot && offset) rounds.shift_stamps(stamp_shift(*unset, *offset));
    recovered->of_this_boot = of_this_boot;
    recovered->without_time = unset && !of_this_boot;
    recovered->batch = rounds.seal();
    return recovered;
}

void HeadJournal::add(const RoundView& round, const SharedSchema& schema, BatchNumber number,
                      std::optional<ClockOffset> unset) {
    if (number != number_) discard();
    number_ = number;
    unset_ = unset;
    schema_ = schema;
    pending_.u32(round.group);
    pending_.u32(static_cast<std::uint32_t>(round.values.size()));
    pending_.u64(static_cast<std::uint64_t>(round.stamp_ms));
    for (const double value : round.values)
        pending_.f64(value);
}

Result<void> HeadJournal::write() {
    if (pending_.empty()) return {};
    Result<void> written = paused_ ? Result<void>{} : append_pending();
    if (!written) paused_ = true;  // what follows a gap would be useless
    pending_.clear();
    return written;
}

Result<void> HeadJournal::append_pending() {
    if (!begun_) RL_TRY(begin());
    if (written_schema_ != schema_) {
        ByteWriter out;
        out.u64(number_.epoch);
        out.u64(number_.number);
        out.text(*schema_);
        RL_TRY(writer_->append(kSchemaRecord, out.bytes()));
        written_schema_ = schema_;
    }
    RL_TRY(writer_->append(kRoundsRecord, pending_.bytes()));
    return {};
}

// Only the first time the file is made; it is empty from then on (discard).
Result<void> HeadJournal::begin() {
    if (!writer_) {
        const auto there = SegmentReader::open(*storage_, kHeadFileName, kHeadFormat);
        if (!there && there.error().code == Errc::unsupported) return fail(there.error());
        RL_ASSIGN_OR_RETURN(writer_, SegmentWriter::create(*storage_, std::string(kHeadFileName),
                                                           kHeadFormat, 0, 0));
    }
    RL_TRY(writer_->append(kBootRecord, as_bytes(boot_id_)));
    if (unset_) {
        ByteWriter out;
        out.u64(static_cast<std::uint64_t>(unset_->count()));
        RL_TRY(writer_->append(kUnsetRecord, out.bytes()));
    }
    begun_ = true;
    return {};
}

void HeadJournal::discard() {
    pending_.clear();
    written_schema_.reset();
    paused_ = false;
    if (!std::exchange(begun_, false)) return;
    if (!writer_->drop_records()) writer_.reset();  // it is made anew
}

Result<std::uint64_t> recover_head(Storage& storage, Spool& spool, std::string_view boot_id,
                                   std::optional<ClockOffset> offset) {
    const auto recovered = HeadJournal::recover(storage, boot_id, offset);
    if (!recovered) return fail(recovered.error());
    if (!*recovered || !(*recovered)->batch) return std::uint64_t{0};
    BatchNumber number = (*recovered)->number;
    if ((*recovered)->version == 1) {
        if (number.number < spool.next_sequence()) return std::uint64_t{0};
        number = spool.number_before_version_3(number.number);
    }
    const SealedBatch& batch = *(*recovered)->batch;
    // Of another boot: the power was cut, and the batch may have been sealed and sent since the
    // disk was given what it has of it.
    if (!spool.append_earlier(batch, number, !(*recovered)->of_this_boot)) return std::uint64_t{0};
    if (!(*recovered)->without_time) return std::uint64_t{batch.body.sample_count};
    spool.drop(spool.next_sequence() - 1, DropReason::clock_unset);
    return std::uint64_t{0};
}

}  // namespace ridgeline::agent
