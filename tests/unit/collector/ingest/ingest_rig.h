// An Ingest on a log that can fail, and agents that speak to it.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "collector/ingest/ingest.h"
#include "tests/support/catch.h"
#include "tests/unit/collector/log/log_rig.h"

namespace ridgeline::collector {

struct IngestRig {
    explicit IngestRig(IngestLimits with = {})
        : limits(with), ingest(*disk.log, disk.clock, with) {}

    // What is answered to `message` from `host` on `connection`.
    std::vector<Outgoing> send(const wire::Message& message, const std::string& host = "a1",
                               const std::string& connection = "c1") {
        return send_bytes(wire::encode(message), host, connection);
    }
    std::vector<Outgoing> send_bytes(const std::string& bytes, const std::string& host = "a1",
                                     const std::string& connection = "c1") {
        std::vector<Outgoing> out;
        ingest.on_message(connection, host, bytes, out);
        return out;
    }
    wire::Hello hello(const std::string& host = "a1") const {
        wire::Hello hello;
        hello.host_id = host;
        hello.epoch = 1;
        hello.first_unacked = 1;
        hello.wall_ms = to_unix_ms(disk.clock.wall_now());
        return hello;
    }
    static wire::Batch batch(std::uint64_t sequence, const std::string& host = "a1") {
        return {host, 1, sequence, false,
                test::body_of(ten_seconds(sequence), test::small_schema())};
    }
    static wire::SchemaReply schema() {
        return {schema_hash(test::small_schema()), test::small_schema()};
    }
    // Hello and the schema, after which batches are taken.
    void connect(const std::string& host = "a1", const std::string& connection = "c1") {
        (void)send(hello(host), host, connection);
        (void)send(schema(), host, connection);
    }
    // The acks that an fsync with this outcome lets go.
    std::vector<Outgoing> sync(int error = 0) {
        disk.storage.refuse_syncs(error);
        const auto ticket = disk.log->begin_sync();
        const auto result = ticket.run();
        disk.storage.refuse_syncs(0);
        disk.log->finish_sync(ticket, result);
        if (!result) ingest.on_sync_failed();
        std::vector<Outgoing> out;
        ingest.on_durable(disk.log->durable_position(), out);
        return out;
    }

    LogRig disk;
    IngestLimits limits;
    Ingest ingest;
};

// The one answer there is, as a T.
template <class T>
T only(const std::vector<Outgoing>& out) {
    REQUIRE(out.size() == 1);
    const T* message = std::get_if<T>(&out[0].message);
    REQUIRE(message != nullptr);
    return *message;
}

}  // namespace ridgeline::collector
