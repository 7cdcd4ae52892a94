#include "collector/log/file_log_reader.h"

#include <utility>

namespace ridgeline::collector {

// Opens the segment that holds position_ and reads its hosts and schemas up to there. False:
// nothing there yet.
Result<bool> FileLogReader::open_segment() {
    segment_.reset();
    const auto& segments = log_.segments();
    const Log::SegmentInfo* found = nullptr;
    for (const auto& segment : segments) {
        if (segment.end > position_) {
            found = &segment;
            break;
        }
    }
    if (found == nullptr) return false;
    if (found->base > position_) {
        stats_.bytes_fell_off += found->base - position_;
        position_ = found->base;
    }
    RL_ASSIGN_OR_RETURN(segment_, SegmentReader::open(log_.storage(), found->name, kLogFormat));
    segment_base_ = found->base;
    decoder_.begin_segment(segment_base_);
    while (segment_base_ + segment_->offset() < position_) {
        const auto record = segment_->next();
        if (!record || !*record) break;
        decoder_.learn(**record);
    }
    // A position inside a record (it cannot be one that a reader saved) goes on with the record
    // after it.
    if (segment_base_ + segment_->offset() > position_)
        position_ = segment_base_ + segment_->offset();
    return true;
}

Result<std::optional<LogBatch>> FileLogReader::next() {
    while (position_ < log_.durable_position()) {
        if (!segment_) {
            RL_ASSIGN_OR_RETURN(const bool opened, open_segment());
            if (!opened) return std::optional<LogBatch>{};
            continue;
        }
        const Log::SegmentInfo* here = nullptr;
        for (const auto& segment : log_.segments()) {
            if (segment.base == segment_base_) here = &segment;
        }
        // Trimmed under us, or read to its end: the next one is found by position.
        if (here == nullptr || position_ >= here->end) {
            segment_.reset();
            continue;
        }
        const auto record = segment_->next();
        if (!record || !*record) {
            if (!record && record.error().code != Errc::corrupt) return fail(record.error());
            // What was read ahead may have been a record that a disk error cut off again and that
            // another has replaced since.
            if (std::exchange(doubted_, position_) != position_) {
                segment_.reset();
                continue;
            }
            // Damaged, or cut short although the log goes on: what follows in this segment cannot
            // be trusted.
            ++stats_.records_skipped;
            position_ = here->end;
            segment_.reset();
            continue;
        }
        position_ = segment_base_ + (*record)->end_offset;
        if ((*record)->type != static_cast<std::uint8_t>(LogRecordType::batch)) {
            decoder_.learn(**record);
            continue;
        }
        auto batch = decoder_.batch(**record);
        if (!batch) {
            ++stats_.records_skipped;
            continue;
        }
        stats_.samples += batch->block.sample_count();  // not what the body claims
        ++stats_.batches;
        return std::optional<LogBatch>(std::move(*batch));
    }
    return std::optional<LogBatch>{};
}

}  // namespace ridgeline::collector
