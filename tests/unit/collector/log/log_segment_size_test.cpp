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
