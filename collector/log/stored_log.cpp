#include "collector/log/stored_log.h"

#include <algorithm>

#include "collector/log/log.h"
#include "collector/log/record_codec.h"

namespace ridgeline::collector {

namespace {

// When the segment was begun: its first record says so. nullopt: it does not say, or is gone.
std::optional<WallTime> created(Storage& storage, const std::string& name) {
    auto reader = SegmentReader::open(storage, name, kLogFormat);
    if (!reader) return {};
    const auto record = reader->next();
    if (!record || !*record) return {};
    if ((*record)->type != static_cast<std::uint8_t>(LogRecordType::snapshot)) return {};
    const auto snapshot = decode_snapshot(as_text((*record)->payload));
    if (!snapshot) return {};
    return from_unix_ms(snapshot->created_ms);
}

}  // namespace

Result<StoredLog> StoredLog::open(Storage& storage, WallTime from) {
    StoredLog log(storage);
    RL_ASSIGN_OR_RETURN(const auto names, list_segments(storage));
    std::size_t first = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto begun = created(storage, names[i]);
        if (!begun) continue;
        if (!log.oldest_) log.oldest_ = begun;
        if (*begun <= from) first = i;
    }
    log.segments_.assign(names.rbegin(), names.rend() - static_cast<std::ptrdiff_t>(first));
    return log;
}

// False: none is left.
Result<bool> StoredLog::open_segment() {
    while (!segments_.empty()) {
        const std::string name = std::move(segments_.back());
        segments_.pop_back();
        auto reader = SegmentReader::open(*storage_, name, kLogFormat);
        if (reader) {
            decoder_.begin_segment(reader->base());
            reader_ = std::move(*reader);
            return true;
        }
        const Errc code = reader.error().code;
        if (code != Errc::not_found && code != Errc::corrupt)
            return ridgeline::fail(std::move(reader).error());
        // The newest may be one that is being begun.
        if (code == Errc::not_found || !segments_.empty()) ++stats_.segments_skipped;
    }
    return false;
}

Result<std::optional<LogBatch>> StoredLog::next() {
    for (;;) {
        if (!reader_) {
            RL_ASSIGN_OR_RETURN(const bool opened, open_segment());
            if (!opened) return std::optional<LogBatch>{};
        }
        const auto record = reader_->next();
        if (!record || !*record) {
            if (!record && record.error().code != Errc::corrupt)
                return ridgeline::fail(record.error());
            // The tail of the newest is being written; anywhere else the rest cannot be trusted.
            if (!record && !segments_.empty()) ++stats_.records_skipped;
            reader_.reset();
            continue;
        }
        if ((*record)->type != static_cast<std::uint8_t>(LogRecordType::batch)) {
            decoder_.learn(**record);
            continue;
        }
        auto batch = decoder_.batch(**record);
        if (!batch) {
            ++stats_.records_skipped;
            continue;
        }
        ++stats_.batches;
        return std::optional<LogBatch>(std::move(*batch));
    }
}

}  // namespace ridgeline::collector
