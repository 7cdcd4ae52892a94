#include "collector/sink/cursor.h"

#include <algorithm>
#include <cstdio>
#include <span>

#include <nlohmann/json.hpp>

#include "common/base/crc32c.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::string_view kHeader = "ridgeline-cloudwatch-cursor 1\n";
constexpr std::size_t kCursorBytesMax = std::size_t{4} << 20;

std::string checksum(std::string_view text) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%08x", crc32c(std::as_bytes(std::span(text))));
    return hex;
}

nlohmann::json to_json(const KeptBack& kept) {
    return {to_unix_ms(kept.begin), to_unix_ms(kept.end)};
}

KeptBack kept_back_of(const nlohmann::json& value) {
    return {from_unix_ms(value.at(0).get<std::int64_t>()),
            from_unix_ms(value.at(1).get<std::int64_t>())};
}

nlohmann::json to_json(const Flush& flush) {
    auto done = nlohmann::json::array();
    for (const DatumRange& range : flush.done.all())
        done.push_back({range.begin, range.end});
    return {{"end", flush.end},
            {"kept_back", to_json(flush.kept_back)},
            {"started", to_unix_ms(flush.started)},
            {"config", flush.config},
            {"datums", flush.datums},
            {"done", std::move(done)}};
}

Flush flush_of(const nlohmann::json& value) {
    Flush flush;
    flush.end = value.at("end").get<LogPosition>();
    flush.kept_back = kept_back_of(value.at("kept_back"));
    flush.started = from_unix_ms(value.at("started").get<std::int64_t>());
    flush.config = value.at("config").get<std::uint32_t>();
    flush.datums = value.at("datums").get<std::uint64_t>();
    for (const auto& range : value.at("done"))
        flush.done.add({range.at(0).get<std::size_t>(), range.at(1).get<std::size_t>()});
    return flush;
}

}  // namespace

void DatumRanges::add(DatumRange range) {
    if (range.begin >= range.end) return;
    // The first one that touches or overlaps, or lies behind.
    auto first = std::lower_bound(
        ranges_.begin(), ranges_.end(), range.begin,
        [](const DatumRange& known, std::size_t begin) { return known.end < begin; });
    auto last = first;
    for (; last != ranges_.end() && last->begin <= range.end; ++last) {
        range.begin = std::min(range.begin, last->begin);
        range.end = std::max(range.end, last->end);
    }
    first = ranges_.erase(first, last);
    ranges_.insert(first, range);
}

std::vector<DatumRange> DatumRanges::missing(std::size_t total) const {
    std::vector<DatumRange> out;
    std::size_t at = 0;
    for (const DatumRange& range : ranges_) {
        if (range.begin >= total) break;
        if (at < range.begin) out.push_back({at, range.begin});
        at = range.end;
    }
    if (at < total) out.push_back({at, total});
    return out;
}

std::size_t DatumRanges::count() const {
    std::size_t sum = 0;
    for (const DatumRange& range : ranges_)
        sum += range.size();
    return sum;
}

std::string encode_cursor(const Cursor& cursor) {
    nlohmann::json value = {{"read_from", cursor.read_from},
                            {"taken_until", cursor.taken_until},
                            {"kept_back", to_json(cursor.kept_back)}};
    if (cursor.flush) value["flush"] = to_json(*cursor.flush);
    std::string out(kHeader);
    const std::string body = value.dump();
    out.append(body).append("\n").append(checksum(body)).append("\n");
    return out;
}

Result<Cursor> decode_cursor(std::string_view text) {
    if (!text.starts_with(kHeader)) {
        return fail(Errc::corrupt, "not a CloudWatch cursor of this version");
    }
    text.remove_prefix(kHeader.size());
    const std::string_view body = next_line(text);
    if (next_line(text) != checksum(body)) {
        return fail(Errc::corrupt, "the CloudWatch cursor's checksum is wrong");
    }
    // nlohmann/json reports a wrong type by exception; it ends here.
    try {
        const auto value = nlohmann::json::parse(body);
        Cursor cursor;
        cursor.read_from = value.at("read_from").get<LogPosition>();
        cursor.taken_until = value.at("taken_until").get<LogPosition>();
        cursor.kept_back = kept_back_of(value.at("kept_back"));
        if (value.contains("flush")) cursor.flush = flush_of(value.at("flush"));
        return cursor;
    } catch (const nlohmann::json::exception& e) {
        return fail(Errc::corrupt, std::string("the CloudWatch cursor: ") + e.what());
    }
}

Result<Cursor> load_cursor(const std::filesystem::path& file) {
    auto text = read_file(file, kCursorBytesMax);
    if (!text && text.error().code == Errc::not_found) return Cursor{};
    if (!text) return fail(std::move(text).error());
    auto cursor = decode_cursor(*text);
    if (!cursor) return fail(std::move(cursor).error().within(file.string()));
    return cursor;
}

Result<void> save_cursor(const std::filesystem::path& file, const Cursor& cursor) {
    return write_file_atomic(file, encode_cursor(cursor), 0600);
}

}  // namespace ridgeline::collector
