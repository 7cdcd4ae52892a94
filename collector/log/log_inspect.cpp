#include "collector/log/log_inspect.h"

#include <utility>

#include "collector/log/log.h"
#include "collector/log/record_codec.h"
#include "collector/log/record_decoder.h"
#include "collector/log/sequence_book.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

// A file that is written to meanwhile may be met in the middle of a change.
constexpr int kAttempts = 3;

struct FoundBatch {
    std::string host;
    std::uint64_t epoch = 0;
    wire::BatchSummary content;
};

// One segment's records, checked.
class FileInspection {
  public:
    FileInspection(std::string name, LogPosition base) {
        report_.name = std::move(name);
        report_.base = base;
        decoder_.begin_segment(base);
    }

    void take(const Record& record) {
        switch (static_cast<LogRecordType>(record.type)) {
            case LogRecordType::snapshot:
                take_snapshot(record);
                break;
            case LogRecordType::host:
                ++report_.hosts;
                if (!decoder_.learn(record)) bad(record, "log: damaged host record");
                break;
            case LogRecordType::schema:
                ++report_.schemas;
                if (!decoder_.learn(record)) bad(record, "log: damaged schema record");
                break;
            case LogRecordType::batch:
                take_batch(record);
                break;
            case LogRecordType::durable:
                if (!decode_durable_record(as_text(record.payload)))
                    bad(record, "log: damaged durable record");
                break;
        }
    }

    void finish(const SegmentScan& scan, bool newest) {
        if (auto damage = report_.take(scan, newest)) damage_.push_back(std::move(*damage));
    }

    LogFileReport& report() { return report_; }
    const std::vector<FoundBatch>& batches() const { return batches_; }
    const std::vector<Damage>& damage() const { return damage_; }

  private:
    void take_snapshot(const Record& record) {
        const auto snapshot = decode_snapshot(as_text(record.payload));
        if (!snapshot || !SequenceBook::decode(snapshot->book))
            return bad(record, "log: damaged snapshot record");
        report_.created_ms = snapshot->created_ms;
    }

    void take_batch(const Record& record) {
        const auto batch = decoder_.batch(record);
        if (!batch) return bad(record, batch.error().context);
        FoundBatch found{batch->host->host_id, batch->epoch, {}};
        found.content.add({batch->first_sequence, batch->sequence}, batch->block,
                          batch->thinned_samples);
        report_.content.add(found.content);
        batches_.push_back(std::move(found));
    }

    void bad(const Record& record, std::string what) {
        damage_.push_back(
            {report_.name, record.offset, record.end_offset - record.offset, std::move(what)});
    }

    LogFileReport report_;
    RecordDecoder decoder_;
    std::vector<FoundBatch> batches_;
    std::vector<Damage> damage_;
};

class Inspection {
  public:
    explicit Inspection(Storage& storage) : storage_(storage) {}

    Result<LogReport> run() {
        RL_ASSIGN_OR_RETURN(const auto names, list_segments(storage_));
        for (const std::string& name : names)
            RL_TRY(inspect(name, name == names.back()));
        find_gaps();
        for (auto& [host, epochs] : books_) {
            for (const auto& [epoch, set] : epochs)
                report_.hosts[host].sequences[epoch] = set.ranges();
        }
        return std::move(report_);
    }

  private:
    Result<void> inspect(const std::string& name, bool newest) {
        for (int attempt = 1;; ++attempt) {
            const auto reader = SegmentReader::open(storage_, name, kLogFormat);
            FileInspection file(name, reader ? reader->base() : 0);
            const auto scan = scan_segment(storage_, name, kLogFormat,
                                           [&](const Record& record) { file.take(record); });
            const bool last_attempt = !newest || attempt == kAttempts;
            if (scan) {
                file.finish(*scan, newest);
                if (!file.damage().empty() && !last_attempt) continue;
                add(file);
                return {};
            }
            const Errc code = scan.error().code;
            if (code == Errc::not_found) return {};  // trimmed since it was listed
            if (code != Errc::corrupt) return fail(scan.error());
            if (!last_attempt) continue;  // it is being begun
            report_.damage.push_back({name, 0, 0, scan.error().context});
            return {};
        }
    }

    void add(FileInspection& file) {
        report_.files.push_back(std::move(file.report()));
        report_.damage.insert(report_.damage.end(), file.damage().begin(), file.damage().end());
        for (const FoundBatch& found : file.batches()) {
            LogHostReport& host = report_.hosts[found.host];
            host.content.add(found.content);
            const wire::SequenceRange range = found.content.sequences.front();
            SequenceSet& book = books_[found.host][found.epoch];
            if (book.missing(range.first, range.last) == 0) ++host.doubled;
            book.insert_range(range);
        }
    }

    void find_gaps() {
        for (std::size_t i = 1; i < report_.files.size(); ++i) {
            const LogFileReport& before = report_.files[i - 1];
            const LogPosition end = before.base + before.bytes;
            const LogPosition next = report_.files[i].base;
            if (end < next) {
                report_.damage.push_back(
                    {before.name, before.bytes, next - end, "bytes are missing at the end"});
            }
        }
    }

    Storage& storage_;
    LogReport report_;
    std::map<std::string, std::map<std::uint64_t, SequenceSet>> books_;
};

std::string sequences_text(const LogHostReport& host) {
    std::string text;
    for (const auto& [epoch, ranges] : host.sequences)
        text += (text.empty() ? "" : "; ") + wire::range_text(ranges);
    return text;
}

}  // namespace

Result<LogReport> inspect_log(Storage& storage) {
    return Inspection(storage).run();
}

std::string to_text(const LogReport& report) {
    std::vector<std::vector<std::string>> files = {{"file", "version", "bytes", "begun", "records",
                                                    "batches", "samples", "thinned",
                                                    "oldest sample", "newest sample"}};
    for (const LogFileReport& file : report.files) {
        files.push_back({file.name, std::to_string(file.version), std::to_string(file.bytes),
                         wire::time_text(file.created_ms), std::to_string(file.records),
                         std::to_string(file.content.batches), std::to_string(file.content.samples),
                         wire::time_text(file.content.oldest_ms),
                         wire::time_text(file.content.newest_ms)});
    }
    std::vector<std::vector<std::string>> hosts = {{"host", "epochs", "batches", "doubled",
                                                    "samples", "thinned", "sequences",
                                                    "oldest sample", "newest sample"}};
    for (const auto& [id, host] : report.hosts) {
        hosts.push_back({printable(id, 64), std::to_string(host.sequences.size()),
                         std::to_string(host.content.batches), std::to_string(host.doubled),
                         std::to_string(host.content.samples), std::to_string(host.content.thinned),
                         sequences_text(host), wire::time_text(host.content.oldest_ms),
                         wire::time_text(host.content.newest_ms)});
    }
    std::string out = align(files) + "\n" + align(hosts);
    if (!report.files.empty() && report.files.back().tail_bytes > 0)
        out += report.files.back().name + ": the last " +
               std::to_string(report.files.back().tail_bytes) +
               " bytes are no whole record: being written, or torn\n";
    return out + to_text(report.damage);
}

std::string to_json(const LogReport& report) {
    JsonWriter json;
    json.begin_object().field("whole", report.damage.empty());
    json.key("files").begin_array();
    for (const LogFileReport& file : report.files) {
        json.begin_object().field("file", file.name);
        json.field("version", std::uint64_t{file.version}).field("base", file.base);
        json.field("bytes", file.bytes).field("begun_ms", file.created_ms);
        json.field("records", file.records).field("host_records", file.hosts);
        json.field("schema_records", file.schemas);
        put(json, file.content);
        json.field("tail_bytes", file.tail_bytes).end_object();
    }
    json.end_array().key("hosts").begin_array();
    for (const auto& [id, host] : report.hosts) {
        json.begin_object().field("host", id).field("doubled", host.doubled);
        put(json, host.content);
        json.key("epochs").begin_array();
        for (const auto& [epoch, ranges] : host.sequences) {
            json.begin_object().field("epoch", epoch);
            put(json, ranges);
            json.end_object();
        }
        json.end_array().end_object();
    }
    json.end_array();
    put(json, report.damage);
    json.end_object();
    return json.text() + "\n";
}

}  // namespace ridgeline::collector
