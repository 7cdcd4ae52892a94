#include "collector/log/log_inspect.h"

#include <filesystem>
#include <sstream>

#include "collector/log/log_command.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/collector/log/log_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

// Three batches of a1 and one of b2, in several segments.
struct Filled : LogRig {
    Filled() : LogRig(tiny_segments()) {
        for (const std::uint64_t sequence : {1, 2, 4})
            append_durably(sequence);
        append_durably(1, "b2");
    }
    void change(const std::string& name,
                const std::function<void(test::FaultyStorage::Bytes&)>& how) {
        auto files = storage.snapshot();
        how(files.at(name));
        storage.restore(files);
    }
};

}  // namespace

TEST_CASE("an inspected log is told in full and not changed", "[log]") {
    Filled rig;
    const auto before = rig.storage.snapshot();
    const LogReport report = inspect_log(rig.storage).value();
    CHECK(rig.storage.snapshot() == before);
    CHECK(report.damage.empty());
    REQUIRE(report.files.size() == 4);
    for (const LogFileReport& file : report.files) {
        CHECK(file.bytes == before.at(file.name).size());
        CHECK(file.content.batches == 1);
        CHECK(file.created_ms == to_unix_ms(rig.clock.wall_now()));
        CHECK(file.records == 5);  // snapshot, host, schema, batch
    }
    REQUIRE(report.hosts.size() == 2);
    const LogHostReport& host = report.hosts.at("a1");
    CHECK(host.content.batches == 3);
    CHECK(host.content.samples == 60);
    CHECK(host.doubled == 0);
    CHECK(host.sequences.at(1) == std::vector<wire::SequenceRange>{{1, 2}, {4, 4}});
    CHECK(host.content.oldest_ms == ten_seconds(1).groups[0].timestamps_ms.front());
    CHECK(host.content.newest_ms == ten_seconds(4).groups[0].timestamps_ms.back());
    CHECK(to_text(report).find("1-4 in 2 ranges") != std::string::npos);
    CHECK(to_text(report).ends_with("whole\n"));
}

TEST_CASE("any changed byte of the log is found, with its file and place", "[log]") {
    const Filled whole;
    const auto files = whole.storage.snapshot();
    const std::string second = std::next(files.begin())->first;
    for (std::size_t at = 0; at < files.at(second).size(); ++at) {
        INFO("byte " << at);
        Filled rig;
        rig.change(second, [&](auto& bytes) { bytes[at] ^= std::byte{0x10}; });
        const LogReport report = inspect_log(rig.storage).value();
        REQUIRE_FALSE(report.damage.empty());
        CHECK(report.damage[0].file == second);
        CHECK(report.damage[0].offset <= at);
    }
}

TEST_CASE("a log without its middle says how many bytes are gone", "[log]") {
    Filled rig;
    auto files = rig.storage.snapshot();
    const auto second = std::next(files.begin());
    const std::uint64_t bytes = second->second.size();
    files.erase(second);
    rig.storage.restore(files);
    const LogReport report = inspect_log(rig.storage).value();
    REQUIRE(report.damage.size() == 1);
    CHECK(report.damage[0].file == report.files[0].name);
    CHECK(report.damage[0].offset == report.files[0].bytes);
    CHECK(report.damage[0].bytes == bytes);
}

TEST_CASE("a torn end of the newest segment is no damage; elsewhere it is", "[log]") {
    Filled rig;
    const auto files = rig.storage.snapshot();
    rig.change(files.rbegin()->first,
               [](auto& bytes) { bytes.erase(bytes.end() - 3, bytes.end()); });
    LogReport report = inspect_log(rig.storage).value();
    CHECK(report.damage.empty());
    CHECK(report.files.back().tail_bytes > 0);
    rig.change(files.begin()->first,
               [](auto& bytes) { bytes.erase(bytes.end() - 3, bytes.end()); });
    report = inspect_log(rig.storage).value();
    REQUIRE_FALSE(report.damage.empty());
    CHECK(report.damage[0].what == "the file is cut short");
}

TEST_CASE("a batch that is in the log twice is counted", "[log]") {
    Filled rig;
    rig.storage.restore([&] {
        auto files = rig.storage.snapshot();
        const auto newest = std::prev(files.end());
        const std::uint64_t end = std::stoull(newest->first) + newest->second.size();
        // The first segment again, as if it were the next.
        test::FaultyStorage copy;
        auto writer = SegmentWriter::create(copy, "x", kLogFormat, end, 0).value();
        auto reader = SegmentReader::open(rig.storage, files.begin()->first, kLogFormat).value();
        while (const auto record = reader.next().value())
            REQUIRE(writer.append(record->type, record->payload));
        std::string name = std::to_string(end);
        name.insert(0, 20 - name.size(), '0');
        files[name + ".log"] = copy.snapshot().at("x");
        return files;
    }());
    const LogReport report = inspect_log(rig.storage).value();
    CHECK(report.damage.empty());
    CHECK(report.hosts.at("a1").doubled == 1);
    CHECK(report.hosts.at("b2").doubled == 0);
}

TEST_CASE("log inspect and verify: text, JSON, exit codes", "[log]") {
    test::TempDir directory;
    const auto run = [&](LogCommand command, const std::filesystem::path& path, bool json) {
        std::ostringstream out;
        std::ostringstream errors;
        const int code = run_log_command(command, path, json, out, errors);
        return std::pair(code, out.str() + errors.str());
    };
    const Filled rig;
    const auto storage = open_directory_storage(directory.path()).value();
    for (const auto& [name, bytes] : rig.storage.snapshot())
        REQUIRE(storage->open_append(name).value()->append(bytes));
    CHECK(run(LogCommand::verify, directory.path(), false) == std::pair(0, std::string("whole\n")));
    CHECK(run(LogCommand::inspect, directory.path(), true)
              .second.starts_with("{\"whole\":true,\"files\":[{\"file\":\"0000"));
    CHECK(run(LogCommand::inspect, directory.path() / "none", false).first == 2);
    const std::string first = storage->list().value().front();
    std::filesystem::resize_file(directory.path() / first, 100);
    const auto [code, text] = run(LogCommand::verify, directory.path(), false);
    CHECK(code == 1);
    CHECK(text.starts_with("DAMAGED: " + first + " at "));
}
