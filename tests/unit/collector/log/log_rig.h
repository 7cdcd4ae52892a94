// A log on a disk that can fail, with one verb for each thing that happens to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "collector/log/log.h"
#include "tests/support/batches.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"

namespace ridgeline::collector {

// Batch n: ten seconds from n × 10 s after the clock's start, of 2 × 10 samples; n may be absurd.
inline SampleBlock ten_seconds(std::uint64_t n) {
    return test::small_block(
        1'772'445'600'000 + static_cast<std::int64_t>(n % 1'000'000'000) * 10'000, 10,
        static_cast<double>(n));
}

class LogRig {
  public:
    explicit LogRig(LogOptions with = {}) : options(with) { open(); }

    void open() {
        log.reset();
        log = Log::open(storage, options, clock).value();
    }
    Result<LogPosition> append(std::uint64_t sequence, const std::string& host = "a1") {
        const Schema schema = test::small_schema();
        return log->append({host, 1, sequence, false, test::body_of(ten_seconds(sequence), schema),
                            schema_hash(schema), wire::encode_schema(schema)});
    }
    void append_durably(std::uint64_t sequence, const std::string& host = "a1") {
        (void)append(sequence, host).value();
        sync();
    }
    void sync() {
        const auto ticket = log->begin_sync();
        log->finish_sync(ticket, ticket.run());
    }
    bool holds(std::uint64_t sequence, const std::string& host = "a1") const {
        return log->contains(host, 1, sequence);
    }
    std::vector<std::uint64_t> read(LogReader& reader) const {
        std::vector<std::uint64_t> sequences;
        while (auto batch = reader.next().value())
            sequences.push_back(batch->sequence);
        return sequences;
    }
    std::vector<std::uint64_t> read_all() const { return read(*log->open_reader(0)); }

    test::FaultyStorage storage;
    test::ManualClock clock;
    LogOptions options;
    std::unique_ptr<Log> log;
};

// Every batch begins a segment of its own.
inline LogOptions tiny_segments() {
    LogOptions options;
    options.segment_bytes = 1;
    return options;
}

// 1, 2, … n
inline std::vector<std::uint64_t> up_to(std::uint64_t n) {
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t i = 1; i <= n; ++i)
        numbers.push_back(i);
    return numbers;
}

}  // namespace ridgeline::collector
