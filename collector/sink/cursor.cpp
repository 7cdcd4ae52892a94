#include "collector/sink/cursor.h"

#include <cstdio>
#include <span>

#include <nlohmann/json.hpp>

#include "common/base/crc32c.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kHeader = "ridgeline-cloudwatch-cursor 2\n";
// The first form knew one flush at a time.
constexpr std::string_view kHeader1 = "ridgeline-cloudwatch-cursor 1\n";
constexpr std::size_t kCursorBytesMax = std::size_t{16} << 20;

std::string checksum(std::string_view text) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%08x", crc32c(std::as_bytes(std::span(text))));
    return hex;
}

json to_json(const KeptBack& kept) {
    return {to_unix_ms(kept.begin), to_unix_ms(kept.end)};
}

KeptBack kept_back_of(const json& value) {
    return {from_unix_ms(value.at(0).get<std::int64_t>()),
            from_unix_ms(value.at(1).get<std::int64_t>())};
}

json to_json(const Marker& marker) {
    return {marker.second, marker.slot};
}

Marker marker_of(const json& value) {
    const Marker marker{value.at(0).get<std::int64_t>(), value.at(1).get<unsigned>()};
    if (marker.slot >= kMarkerSlots) throw json::other_error::create(501, "slot", nullptr);
    return marker;
}

json to_json(const DatumRange& range) {
    return {range.begin, range.end};
}

DatumRange range_of(const json& value) {
    return {value.at(0).get<std::size_t>(), value.at(1).get<std::size_t>()};
}

json to_json(const Stretch& stretch) {
    return {{"read_from", stretch.read_from},
            {"taken_until", stretch.taken_until},
            {"kept_before", to_json(stretch.kept_before)},
            {"whole_until", stretch.whole_until},
            {"end", stretch.end},
            {"kept_after", to_json(stretch.kept_after)},
            {"leaves_kept_before", stretch.leaves_kept_before}};
}

Stretch stretch_of(const json& value) {
    Stretch stretch;
    stretch.read_from = value.at("read_from").get<LogPosition>();
    stretch.taken_until = value.at("taken_until").get<LogPosition>();
    stretch.kept_before = kept_back_of(value.at("kept_before"));
    stretch.whole_until = value.at("whole_until").get<LogPosition>();
    stretch.end = value.at("end").get<LogPosition>();
    stretch.kept_after = kept_back_of(value.at("kept_after"));
    stretch.leaves_kept_before = value.at("leaves_kept_before").get<bool>();
    return stretch;
}

json to_json(const Progress& progress) {
    auto done = json::array();
    for (const DatumRange& range : progress.done.all())
        done.push_back(to_json(range));
    auto sent = json::array();
    for (const SentRequest& request : progress.sent)
        sent.push_back(
            {to_json(request.range), to_json(request.marker), to_unix_ms(request.sent_at)});
    return {{"config", progress.config},
            {"checksum", progress.checksum},
            {"datums", progress.datums},
            {"done", std::move(done)},
            {"sent", std::move(sent)}};
}

Progress progress_of(const json& value) {
    Progress progress;
    progress.config = value.at("config").get<std::uint32_t>();
    progress.checksum = value.at("checksum").get<std::uint32_t>();
    progress.datums = value.at("datums").get<std::uint64_t>();
    for (const auto& range : value.at("done"))
        progress.done.add(range_of(range));
    for (const auto& sent : value.at("sent"))
        progress.sent.push_back({range_of(sent.at(0)), marker_of(sent.at(1)),
                                 from_unix_ms(sent.at(2).get<std::int64_t>())});
    return progress;
}

json to_json(const Work& work) {
    json out = {{"stretch", to_json(work.stretch)}, {"counted", work.counted}};
    if (work.progress) out["progress"] = to_json(*work.progress);
    return out;
}

Work work_of(const json& value) {
    Work work;
    work.stretch = stretch_of(value.at("stretch"));
    work.counted = value.at("counted").get<bool>();
    if (value.contains("progress")) work.progress = progress_of(value.at("progress"));
    return work;
}

// `value` has the tail's members, in either form of the file.
Tail tail_of(const json& value) {
    return {value.at("read_from").get<LogPosition>(), value.at("taken_until").get<LogPosition>(),
            kept_back_of(value.at("kept_back"))};
}

Cursor cursor_of(const json& value, bool first_form) {
    Cursor cursor;
    // A flush that was under way begins anew: the order of its datums was another one.
    cursor.tail = tail_of(first_form ? value : value.at("tail"));
    if (first_form) return cursor;
    cursor.writer = value.at("writer").get<std::string>();
    if (value.contains("last_marker")) cursor.last_marker = marker_of(value.at("last_marker"));
    for (const auto& work : value.at("work"))
        cursor.work.push_back(work_of(work));
    return cursor;
}

}  // namespace

std::string encode_cursor(const Cursor& cursor) {
    auto work = json::array();
    for (const Work& one : cursor.work)
        work.push_back(to_json(one));
    json value = {{"writer", cursor.writer},
                  {"tail",
                   {{"read_from", cursor.tail.read_from},
                    {"taken_until", cursor.tail.taken_until},
                    {"kept_back", to_json(cursor.tail.kept_back)}}},
                  {"work", std::move(work)}};
    if (cursor.last_marker) value["last_marker"] = to_json(*cursor.last_marker);
    std::string out(kHeader);
    const std::string body = value.dump();
    out.append(body).append("\n").append(checksum(body)).append("\n");
    return out;
}

Result<Cursor> decode_cursor(std::string_view text) {
    const bool first_form = text.starts_with(kHeader1);
    if (!first_form && !text.starts_with(kHeader))
        return fail(Errc::corrupt, "not a CloudWatch cursor of this version");
    text.remove_prefix(kHeader.size());
    const std::string_view body = next_line(text);
    if (next_line(text) != checksum(body))
        return fail(Errc::corrupt, "the CloudWatch cursor's checksum is wrong");
    // nlohmann/json reports a wrong type by exception; it ends here.
    try {
        return cursor_of(json::parse(body), first_form);
    } catch (const json::exception& e) {
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
