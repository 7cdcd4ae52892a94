#include "common/wire/messages.h"
#include "tests/support/catch.h"
#include "tests/unit/collector/log/log_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("a segment goes on while what it repeats of hosts is much of it", "[log]") {
    LogOptions options;
    options.segment_bytes = 1;
    options.segment_bytes_max = 1U << 20;
    LogRig rig(options);
    for (std::uint64_t n = 1; n <= 400; ++n)
        rig.append_durably(n);
    // One host, whose schema each segment has once.
    const std::uint64_t schemas =
        rig.log->segments().size() * wire::encode_schema(test::small_schema()).size();
    CHECK(rig.log->segments().size() > 1);
    CHECK(schemas * 7 < rig.log->size_bytes());
    // Not past its limit, and the limit is kept after a restart in the middle of a segment.
    const auto all = rig.log->segments().size();
    rig.open();
    rig.append_durably(401);
    CHECK(rig.log->segments().size() <= all + 1);
    CHECK(rig.read_all() == up_to(401));

    options.segment_bytes_max = 0;
    LogRig small(options);
    for (std::uint64_t n = 1; n <= 5; ++n)
        small.append_durably(n);
    CHECK(small.log->segments().size() == 5);
}

// Whoever makes the book large must not stop the log for all.
TEST_CASE("a book that no record could hold begins a segment all the same", "[log]") {
    constexpr int kHosts = 280;
    const auto name = [](int host) { return std::to_string(host) + std::string(64 * 1024, 'x'); };
    LogRig rig;
    for (int host = 0; host < kHosts; ++host)
        (void)rig.append(1, name(host)).value();
    rig.sync();
    REQUIRE(rig.log->book().encode(kRecordBytesMax).size() > 1);
    rig.options = tiny_segments();
    rig.open();
    const auto files = rig.storage.snapshot();
    const auto holds_all = [&] {
        for (int host = 0; host < kHosts; ++host) {
            if (!rig.holds(1, name(host))) return false;
        }
        return true;
    };
    rig.append_durably(1);
    rig.append_durably(2);
    CHECK(rig.log->segments().size() == 3);
    rig.open();
    CHECK(holds_all());
    CHECK(rig.holds(2));
    // Killed anywhere while it is begun, between the parts of its snapshot, too.
    for (std::uint64_t changes = 0; changes < 6; ++changes) {
        INFO(changes);
        rig.storage.restore(files);
        rig.open();
        rig.storage.kill_after(changes);
        (void)rig.append(1);
        rig.storage.revive();
        rig.open();
        CHECK(holds_all());
        rig.append_durably(2);
        CHECK(rig.holds(2));
    }
}
