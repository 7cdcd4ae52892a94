#include "collector/log/log.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "collector/log/file_log_reader.h"

namespace ridgeline::collector {

namespace {

constexpr std::string_view kSuffix = ".log";

std::string segment_name(LogPosition base) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%020llu", static_cast<unsigned long long>(base));
    return std::string(text.data()) + std::string(kSuffix);
}

constexpr std::int64_t kUnknownMs = 0;
// The share of a segment that hosts and schemas may be, as one in so many.
constexpr std::uint64_t kContextShare = 8;

// The next record; nullopt where the sound ones end. Only what the disk refuses is an error.
Result<std::optional<Record>> next_sound(SegmentReader& reader) {
    auto record = reader.next();
    if (!record && record.error().code == Errc::corrupt) return std::optional<Record>{};
    return record;
}

wire::Limits recovery_limits() {
    wire::Limits limits;
    limits.message_bytes = kRecordBytesMax;
    return limits;
}

// How much of the book a snapshot record holds: there is room for its time, too.
constexpr std::size_t kBookPartBytes = kRecordBytesMax - 64;

// When the segment was begun: its first record says so.
Result<std::int64_t> created_ms(SegmentReader& reader) {
    RL_ASSIGN_OR_RETURN(const auto first, next_sound(reader));
    if (!first || first->type != static_cast<std::uint8_t>(LogRecordType::snapshot))
        return kUnknownMs;
    const auto snapshot = decode_snapshot(as_text(first->payload));
    return snapshot ? snapshot->created_ms : kUnknownMs;
}

// Whether all of its snapshot is there: since version 2 another record follows it at once. Which
// one is no matter: a damaged record must not cost the segment.
Result<bool> has_whole_snapshot(SegmentReader& reader) {
    if (reader.version() < 2) return true;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const auto record, next_sound(reader));
        if (!record) return false;
        if (record->type != static_cast<std::uint8_t>(LogRecordType::snapshot)) return true;
    }
}

}  // namespace

Result<std::vector<std::string>> list_segments(Storage& storage) {
    RL_ASSIGN_OR_RETURN(auto names, storage.list());
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(kSuffix); });
    return names;
}

Result<std::unique_ptr<Log>> Log::open(Storage& storage, LogOptions options, const Clock& clock) {
    std::unique_ptr<Log> log(new Log(storage, options, clock));
    RL_TRY(log->recover());
    return log;
}

Result<void> Log::recover() {
    RL_TRY(find_segments());
    if (segments_.empty()) return {};
    // Files are synced in order, so when a segment is not whole after a power cut, nothing after it
    // was acked; but the snapshots after it count its lost batches as there, and are not believed.
    std::size_t first = segments_.size() - 1;
    while (first > 0) {
        RL_ASSIGN_OR_RETURN(const bool whole, is_whole(segments_[first - 1]));
        if (whole) break;
        --first;
    }
    for (std::size_t i = first; i + 1 < segments_.size(); ++i) {
        RL_ASSIGN_OR_RETURN(auto reader,
                            SegmentReader::open(storage_, segments_[i].name, kLogFormat));
        for (;;) {
            RL_ASSIGN_OR_RETURN(const auto record, next_sound(reader));
            if (!record || segments_[i].base + record->end_offset > segments_[i].end) break;
            recall(*record, i == first);
        }
    }
    hosts_written_.clear();
    schemas_written_.clear();
    context_bytes_ = 0;
    RL_TRY(recover_last(first + 1 == segments_.size()));
    durable_ = end_;
    return {};
}

Result<void> Log::find_segments() {
    RL_ASSIGN_OR_RETURN(const auto found, list_segments(storage_));
    for (const std::string& name : found) {
        auto reader = SegmentReader::open(storage_, name, kLogFormat);
        if (!reader) {
            if (reader.error().code != Errc::corrupt) return fail(std::move(reader).error());
            // Only a segment that was being begun can be without a sound header; it holds nothing
            // yet. Any other is left for the operator, and what it held is skipped like a damaged
            // record.
            if (name == found.back()) RL_TRY(storage_.remove(name));
            continue;
        }
        RL_ASSIGN_OR_RETURN(std::int64_t created, created_ms(*reader));
        if (name == found.back()) {
            RL_ASSIGN_OR_RETURN(const bool whole, has_whole_snapshot(*reader));
            if (!whole) created = kUnknownMs;
        }
        segments_.push_back({name, reader->base(), 0, created});
    }
    // Begun, but killed before the snapshot was in it: it holds nothing, and to go on in it would
    // be to forget every sequence before it.
    while (!segments_.empty() && segments_.back().created_ms == kUnknownMs) {
        stats_.torn_bytes += kSegmentHeaderBytes;
        RL_TRY(storage_.remove(segments_.back().name));
        segments_.pop_back();
    }
    for (std::size_t i = segments_.size(); i-- > 1;) {
        SegmentInfo& before = segments_[i - 1];
        before.end = segments_[i].base;
        // No later than the next one was: early enough for position_at(), late enough for trim().
        if (before.created_ms == kUnknownMs) before.created_ms = segments_[i].created_ms;
    }
    return {};
}

Result<bool> Log::is_whole(const SegmentInfo& segment) {
    RL_ASSIGN_OR_RETURN(auto reader, SegmentReader::open(storage_, segment.name, kLogFormat));
    while (segment.base + reader.offset() < segment.end) {
        RL_ASSIGN_OR_RETURN(const auto record, next_sound(reader));
        if (!record) return false;
    }
    return true;
}

void Log::recall(const Record& record, bool believe_snapshot) {
    const std::string_view payload = as_text(record.payload);
    switch (static_cast<LogRecordType>(record.type)) {
        case LogRecordType::snapshot:
            if (const auto snapshot = decode_snapshot(payload); snapshot && believe_snapshot) {
                if (record.offset == kSegmentHeaderBytes) book_ = SequenceBook{};
                if (auto book = SequenceBook::decode(snapshot->book)) book_.add(std::move(*book));
            }
            context_bytes_ += record.payload.size();
            break;
        case LogRecordType::host:
            context_bytes_ += record.payload.size();
            if (auto host = decode_host_record(payload)) {
                hosts_written_.insert(host->host_id);
                hosts_[host->host_id] = std::move(*host);
            }
            break;
        case LogRecordType::schema:
            context_bytes_ += record.payload.size();
            if (const auto schema = decode_schema_record(payload)) {
                schemas_written_.emplace(std::string(schema->host), schema->hash);
            }
            break;
        case LogRecordType::batch:
            if (const auto batch = decode_batch_record(payload)) {
                wire::SequenceRange range{batch->sequence, batch->sequence};
                if (const auto body = wire::decode_body(batch->body, recovery_limits()))
                    range = wire::range_of(*body, batch->sequence).value_or(range);
                book_.insert(batch->host, batch->epoch, range);
            }
            break;
        case LogRecordType::durable:
            if (const auto durable = decode_durable_record(payload))
                noted_durable_ = std::max(noted_durable_, durable->position);
            break;
    }
}

Result<void> Log::recover_last(bool believe_snapshot) {
    SegmentInfo& last = segments_.back();
    RL_ASSIGN_OR_RETURN(auto reopened, SegmentWriter::reopen(storage_, last.name, kLogFormat,
                                                             [&](const Record& record) {
                                                                 recall(record, believe_snapshot);
                                                             }));
    stats_.torn_bytes += reopened.torn_bytes;
    end_ = reopened.writer.base() + reopened.writer.size_bytes();
    last.end = end_;
    writer_ = std::move(reopened.writer);
    // What was written before a crash may still be in the page cache alone, in closed segments too;
    // and if a sync had failed, not even that a sync succeeds now says that it is on the disk.
    const LogPosition doubted = noted_durable_ > 0 ? noted_durable_ : last.base;
    for (const SegmentInfo& segment : segments_) {
        RL_ASSIGN_OR_RETURN(const auto file, storage_.open_append(segment.name));
        if (segment.end > doubted)
            RL_TRY(file->write_again(doubted > segment.base ? doubted - segment.base : 0));
        RL_TRY(file->sync());
    }
    return storage_.sync_directory();
}

void Log::set_host(const HostInfo& host) {
    hosts_[host.host_id] = host;
    hosts_written_.erase(host.host_id);
}

Result<void> Log::begin_segment() {
    if (writer_) unsynced_files_.push_back(writer_->file());
    writer_.reset();
    hosts_written_.clear();
    schemas_written_.clear();
    context_bytes_ = 0;
    RL_ASSIGN_OR_RETURN(SegmentWriter writer,
                        SegmentWriter::create(storage_, segment_name(end_), kLogFormat, end_,
                                              options_.segment_bytes));
    directory_dirty_ = true;
    const std::int64_t now_ms = to_unix_ms(clock_.wall_now());
    segments_.push_back({writer.name(), end_, end_ + writer.size_bytes(), now_ms});
    end_ += writer.size_bytes();
    writer_ = std::move(writer);
    Result<void> written;
    for (const std::string& part : book_.encode(kBookPartBytes)) {
        if (written)
            written = write(LogRecordType::snapshot, encode_record(SnapshotRecord{now_ms, part}));
    }
    if (written) written = note_durable();
    if (!written) {
        // Without its snapshot a segment must not be gone on with: the next append begins it anew.
        end_ = segments_.back().base;
        writer_.reset();
        drop_segment(segments_.size() - 1);
    }
    return written;
}

// For the next start, which else would have to doubt more.
Result<void> Log::note_durable() {
    RL_TRY(write(LogRecordType::durable, encode_record(DurableRecord{durable_})));
    noted_durable_ = durable_;
    return {};
}

Result<void> Log::write(LogRecordType type, std::string_view payload) {
    RL_TRY(writer_->append(static_cast<std::uint8_t>(type), as_bytes(payload)));
    end_ = writer_->base() + writer_->size_bytes();
    segments_.back().end = end_;
    if (type == LogRecordType::host || type == LogRecordType::schema ||
        type == LogRecordType::snapshot)
        context_bytes_ += payload.size();
    return {};
}

// Every host is repeated in every segment. Ten thousand of them are more than one of the usual size
// holds: of such a log seven bytes in eight would be schemas.
bool Log::segment_is_full() const {
    const std::uint64_t wanted =
        std::clamp(context_bytes_ * kContextShare, options_.segment_bytes,
                   std::max(options_.segment_bytes, options_.segment_bytes_max));
    return writer_->size_bytes() >= wanted;
}

Result<void> Log::write_context(const LogAppend& batch) {
    const std::string host(batch.host);
    if (!hosts_written_.contains(host)) {
        const auto it = hosts_.find(host);
        HostInfo unknown;
        unknown.host_id = host;
        RL_TRY(
            write(LogRecordType::host, encode_record(it == hosts_.end() ? unknown : it->second)));
        hosts_written_.insert(host);
    }
    const std::pair<std::string, std::uint64_t> key{host, batch.schema_hash};
    if (!schemas_written_.contains(key)) {
        RL_TRY(write(
            LogRecordType::schema,
            encode_record(SchemaRecord{batch.host, batch.schema_hash, batch.encoded_schema})));
        schemas_written_.insert(key);
    }
    return {};
}

Result<LogPosition> Log::append(const LogAppend& batch) {
    const auto attempt = [&]() -> Result<LogPosition> {
        if (!writer_ || segment_is_full()) RL_TRY(begin_segment());
        if (durable_ > noted_durable_) RL_TRY(note_durable());
        RL_TRY(write_context(batch));
        const LogPosition position = end_;
        const std::int64_t received_ms = to_unix_ms(clock_.wall_now());
        RL_TRY(write(LogRecordType::batch,
                     encode_record(BatchRecord{batch.host, batch.epoch, batch.sequence,
                                               batch.backlog, received_ms, batch.body})));
        return position;
    };
    auto position = attempt();
    if (!position) {
        ++stats_.append_errors;
        trouble_ = position.error().context;
        return position;
    }
    trouble_.clear();
    ++stats_.batches_appended;
    book_.insert(batch.host, batch.epoch, batch.range());
    unsynced_.push_back({std::string(batch.host), batch.epoch, batch.range(), *position});
    return position;
}

Result<void> Log::SyncTicket::run() const {
    for (const auto& file : files)
        RL_TRY(file->sync());
    // After the files: a name that lasts is one of bytes that do.
    if (directory != nullptr) RL_TRY(directory->sync_directory());
    return {};
}

Log::SyncTicket Log::begin_sync() {
    SyncTicket ticket{unsynced_files_, unsynced_files_.size(), nullptr, end_};
    if (std::exchange(directory_dirty_, false)) ticket.directory = &storage_;
    if (writer_) ticket.files.push_back(writer_->file());
    return ticket;
}

void Log::finish_sync(const SyncTicket& ticket, const Result<void>& result) {
    if (result) {
        durable_ = ticket.upto;
        // The file that was being written then may have grown and been closed since.
        unsynced_files_.erase(unsynced_files_.begin(),
                              unsynced_files_.begin() + static_cast<std::ptrdiff_t>(ticket.closed));
        std::erase_if(unsynced_, [&](const Unsynced& entry) { return entry.position < durable_; });
        return;
    }
    ++stats_.sync_errors;
    directory_dirty_ = true;
    trouble_ = result.error().context;
    for (const Unsynced& entry : unsynced_)
        book_.erase(entry.host, entry.epoch, entry.range);
    unsynced_.clear();
    unsynced_files_.clear();
    writer_.reset();
    // Whole segments that lie past what is durable go; the one that straddles it is cut. A new one
    // is begun with the next append.
    while (!segments_.empty() && segments_.back().base >= durable_)
        drop_segment(segments_.size() - 1);
    end_ = durable_;
    if (segments_.empty()) return;
    SegmentInfo& last = segments_.back();
    last.end = durable_;
    if (auto file = storage_.open_append(last.name); file) {
        if (auto cut = (*file)->truncate_to(durable_ - last.base); !cut)
            trouble_ = cut.error().context;
    }
}

std::unique_ptr<LogReader> Log::open_reader(LogPosition from) {
    return std::make_unique<FileLogReader>(*this, from);
}

LogPosition Log::oldest_position() const {
    return segments_.empty() ? end_ : segments_.front().base;
}

LogPosition Log::position_at(WallTime since) const {
    // The newest segment that was begun no later holds the first such batch, or lies before it.
    LogPosition position = oldest_position();
    for (const SegmentInfo& segment : segments_) {
        if (segment.created_ms <= to_unix_ms(since)) position = segment.base;
    }
    return position;
}

void Log::hold(const std::string& reader, LogPosition position) {
    holds_[reader] = position;
}

void Log::drop_segment(std::size_t index) {
    if (auto removed = storage_.remove(segments_[index].name); !removed)
        trouble_ = removed.error().context;
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Log::trim() {
    LogPosition held = end_;
    for (const auto& [reader, position] : holds_)
        held = std::min(held, position);
    const std::int64_t oldest_ms = to_unix_ms(clock_.wall_now() - options_.window);
    while (segments_.size() > 1) {
        const SegmentInfo& oldest = segments_.front();
        // A segment was begun when the one before it was full: nothing in that one is newer.
        const bool past_window = segments_[1].created_ms < oldest_ms;
        const bool read = oldest.end <= held;
        const bool too_large = size_bytes() > options_.max_size_bytes;
        if (!(past_window && read) && !too_large) return;
        if (!read) ++stats_.segments_dropped_unread;
        drop_segment(0);
    }
}

std::uint64_t Log::size_bytes() const {
    std::uint64_t size = 0;
    for (const SegmentInfo& segment : segments_)
        size += segment.end - segment.base;
    return size;
}

}  // namespace ridgeline::collector
