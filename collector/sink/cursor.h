// Where the sink stands, in a file small enough to be replaced before every request.
#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/sink/work.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// The log's end as far as it was read: everything after it, and what was kept back before it, is in
// no stretch yet.
struct Tail {
    LogPosition read_from = 0;  // the first record with samples that were kept back, or taken_until
    LogPosition taken_until = 0;
    KeptBack kept_back;
    bool operator==(const Tail&) const = default;
};

struct Cursor {
    std::string writer;  // names the markers of this sink; eight hexadecimal digits
    std::optional<Marker> last_marker;
    Tail tail;
    std::vector<Work> work;  // not all sent; oldest first
    bool operator==(const Cursor&) const = default;
};

std::string encode_cursor(const Cursor& cursor);
Result<Cursor> decode_cursor(std::string_view text);

// A missing file is a cursor at the beginning, without a writer.
Result<Cursor> load_cursor(const std::filesystem::path& file);
Result<void> save_cursor(const std::filesystem::path& file, const Cursor& cursor);

}  // namespace ridgeline::collector
