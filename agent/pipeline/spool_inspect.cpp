#include "agent/pipeline/spool_inspect.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent/pipeline/head_journal.h"
#include "agent/pipeline/spool_format.h"
#include "common/base/json_writer.h"
#include "common/base/text.h"
#include "common/wire/block_codec.h"

namespace ridgeline::agent {

using namespace spool_format;

namespace {

// A file that is written to meanwhile may be met in the middle of a change.
constexpr int kAttempts = 3;

void add(std::vector<SpoolEpoch>& epochs, std::optional<std::uint64_t> epoch,
         wire::SequenceRange range) {
    if (epochs.empty() || epochs.back().epoch != epoch) epochs.push_back({epoch, {}});
    auto& numbers = epochs.back().numbers;
    if (!numbers.empty() && numbers.back().last + 1 == range.first) {
        numbers.back().last = range.last;
    } else {
        numbers.push_back(range);
    }
}

std::string name_of(const std::optional<std::uint64_t>& epoch) {
    return epoch ? hex_u64(*epoch) : std::string("of the file");
}

// One segment's records, checked.
class FileReader {
  public:
    FileReader(std::string name, std::vector<std::uint64_t>& acked) : acked_(&acked) {
        report_.name = std::move(name);
    }

    void take(const Record& record) {
        if (const auto schema = read_schema(record)) {
            take_schema(*schema, record);
        } else if (const auto batch = read_batch(record)) {
            take_batch(*batch, record);
        } else if (record.type == kAckedRecord) {
            for (const std::uint64_t sequence : read_sequences(record))
                acked_->push_back(sequence);
        } else if (record.type == kSchemaRecord || record.type == kPackedSchemaRecord ||
                   record.type == kBatchRecord || record.type == kNumberedBatchRecord) {
            bad(record, "a record is too short for what it is");
        }
    }

    void finish(const SegmentScan& scan, bool newest) {
        if (auto damage = report_.take(scan, newest)) damage_.push_back(std::move(*damage));
    }

    SpoolFileReport& report() { return report_; }
    const std::vector<Damage>& damage() const { return damage_; }

  private:
    void take_schema(const SchemaRecord& found, const Record& record) {
        ++report_.schemas;
        const auto encoded = found.encoded();
        if (!encoded) return bad(record, encoded.error().context);
        auto schema = wire::decode_schema(*encoded, wire::Limits{});
        if (!schema) return bad(record, schema.error().context);
        if (schema_hash(*schema) != found.hash)
            return bad(record, "a schema does not have the hash it is filed under");
        schemas_[found.hash] = std::move(*schema);
    }

    void take_batch(const BatchRecord& found, const Record& record) {
        const auto body = wire::decode_body(found.body, wire::Limits{});
        if (!body) return bad(record, body.error().context);
        if (found.sequence <= last_)
            return bad(record, "batch " + std::to_string(found.sequence) + " is out of order");
        last_ = found.sequence;
        const auto schema = schemas_.find(body->schema_hash);
        if (schema == schemas_.end()) return bad(record, "the schema of a batch is missing");
        const auto block = wire::decode_block(body->columns, schema->second, wire::Limits{});
        if (!block) return bad(record, block.error().context);
        if (block->sample_count() != body->sample_count)
            return bad(record, "a batch does not have as many samples as it says");
        const auto range = wire::range_of(*body, found.number_in_epoch());
        if (!range) return bad(record, range.error().context);
        const std::uint64_t merged = range->last - range->first;
        report_.content.add({found.sequence - merged, found.sequence}, *block,
                            body->thinned_samples);
        add(report_.epochs, found.number ? std::optional(found.number->epoch) : std::nullopt,
            *range);
    }

    void bad(const Record& record, std::string what) {
        damage_.push_back(
            {report_.name, record.offset, record.end_offset - record.offset, std::move(what)});
    }

    SpoolFileReport report_;
    std::vector<std::uint64_t>* acked_;
    std::vector<Damage> damage_;
    std::map<std::uint64_t, Schema> schemas_;
    std::uint64_t last_ = 0;
};

Result<void> inspect_segment(Storage& storage, const std::string& name, bool newest,
                             SpoolReport& report, std::vector<std::uint64_t>& acked) {
    for (int attempt = 1;; ++attempt) {
        std::vector<std::uint64_t> acked_here;
        FileReader file(name, acked_here);
        const auto scan =
            scan_segment(storage, name, kFormat, [&](const Record& record) { file.take(record); });
        if (scan) {
            file.finish(*scan, newest);
            if (newest && !file.damage().empty() && attempt < kAttempts) continue;
            acked.insert(acked.end(), acked_here.begin(), acked_here.end());
            report.files.push_back(std::move(file.report()));
            report.damage.insert(report.damage.end(), file.damage().begin(), file.damage().end());
            return {};
        }
        const Errc code = scan.error().code;
        if (code == Errc::not_found) return {};  // acknowledged and removed since it was listed
        if (code != Errc::corrupt) return fail(scan.error());
        if (newest && attempt < kAttempts) continue;  // it is being begun
        report.damage.push_back({name, 0, 0, scan.error().context});
        return {};
    }
}

Result<void> inspect_head(Storage& storage, SpoolReport& report) {
    for (int attempt = 1;; ++attempt) {
        std::string boot_id;
        const auto head = scan_head(storage, boot_id);
        if (!head && head.error().code == Errc::not_found) return {};
        if (!head && head.error().code != Errc::corrupt) return fail(head.error());
        const bool damaged = !head || !head->damage.empty();
        if (damaged && attempt < kAttempts) continue;
        if (damaged) {
            report.damage.push_back({std::string(kHeadFileName), head ? head->sound_bytes : 0,
                                     head ? head->tail_bytes : 0,
                                     head ? head->damage : head.error().context});
        }
        RL_ASSIGN_OR_RETURN(const auto recovered, HeadJournal::recover(storage, boot_id));
        if (recovered) report.head_number = recovered->number;
        if (recovered && recovered->batch)
            report.head_samples = recovered->batch->body.sample_count;
        return {};
    }
}

}  // namespace

Result<SpoolReport> inspect_spool(Storage& storage) {
    SpoolReport report;
    RL_ASSIGN_OR_RETURN(auto names, storage.list());
    std::erase_if(names, [](const std::string& name) { return !base_of(name); });
    std::vector<std::uint64_t> acked;
    for (const std::string& name : names)
        RL_TRY(inspect_segment(storage, name, name == names.back(), report, acked));
    const std::set<std::uint64_t> done(acked.begin(), acked.end());
    for (SpoolFileReport& file : report.files) {
        for (const SpoolEpoch& of_file : file.epochs) {
            for (const wire::SequenceRange& range : of_file.numbers)
                add(report.epochs, of_file.epoch, range);
        }
        file.held = file.content.batches;
        for (const wire::SequenceRange& range : file.content.sequences) {
            file.held -= static_cast<std::uint64_t>(
                std::distance(done.lower_bound(range.first), done.upper_bound(range.last)));
        }
    }
    RL_TRY(inspect_head(storage, report));
    return report;
}

std::string to_text(const SpoolReport& report) {
    std::vector<std::vector<std::string>> rows = {{"file", "version", "bytes", "records", "schemas",
                                                   "batches", "held", "samples", "thinned",
                                                   "sequences", "oldest sample", "newest sample"}};
    wire::BatchSummary all;
    std::uint64_t bytes = 0;
    std::uint64_t held = 0;
    for (const SpoolFileReport& file : report.files) {
        rows.push_back({file.name, std::to_string(file.version), std::to_string(file.bytes),
                        std::to_string(file.records), std::to_string(file.schemas),
                        std::to_string(file.content.batches), std::to_string(file.held),
                        std::to_string(file.content.samples), std::to_string(file.content.thinned),
                        wire::range_text(file.content.sequences),
                        wire::time_text(file.content.oldest_ms),
                        wire::time_text(file.content.newest_ms)});
        all.add(file.content);
        bytes += file.bytes;
        held += file.held;
    }
    rows.push_back({"all", "", std::to_string(bytes), "", "", std::to_string(all.batches),
                    std::to_string(held), std::to_string(all.samples), std::to_string(all.thinned),
                    wire::range_text(all.sequences), wire::time_text(all.oldest_ms),
                    wire::time_text(all.newest_ms)});
    std::string out;
    for (const SpoolEpoch& run : report.epochs)
        out += "epoch " + name_of(run.epoch) + ": numbers " + wire::range_text(run.numbers) + "\n";
    if (report.head_number)
        out += "head: number " + std::to_string(report.head_number->number) + " of epoch " +
               hex_u64(report.head_number->epoch) + " is being filled, " +
               std::to_string(report.head_samples) + " samples\n";
    out += align(rows);
    if (!report.files.empty() && report.files.back().tail_bytes > 0)
        out += report.files.back().name + ": the last " +
               std::to_string(report.files.back().tail_bytes) +
               " bytes are no whole record: being written, or torn\n";
    return out + to_text(report.damage);
}

std::string to_json(const SpoolReport& report) {
    JsonWriter json;
    json.begin_object().field("whole", report.damage.empty());
    json.key("epochs").begin_array();
    for (const SpoolEpoch& run : report.epochs) {
        json.begin_object();
        json.key("epoch");
        run.epoch ? json.value(hex_u64(*run.epoch)) : json.null();
        json.key("numbers").begin_array();
        for (const wire::SequenceRange& range : run.numbers)
            json.begin_array().value(range.first).value(range.last).end_array();
        json.end_array().end_object();
    }
    json.end_array();
    json.key("head");
    if (report.head_number) {
        json.begin_object().field("epoch", hex_u64(report.head_number->epoch));
        json.field("number", report.head_number->number);
        json.field("samples", report.head_samples).end_object();
    } else {
        json.null();
    }
    json.key("files").begin_array();
    for (const SpoolFileReport& file : report.files) {
        json.begin_object().field("file", file.name);
        json.field("version", std::uint64_t{file.version}).field("bytes", file.bytes);
        json.field("records", file.records).field("schemas", file.schemas);
        json.field("held", file.held);
        wire::put(json, file.content);
        json.field("tail_bytes", file.tail_bytes).end_object();
    }
    json.end_array();
    put(json, report.damage);
    json.end_object();
    return json.text() + "\n";
}

}  // namespace ridgeline::agent
