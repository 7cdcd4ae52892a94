#include "collector/sink/request.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <zlib.h>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

// Names and values are printable ASCII by now, so only two characters need care.
void append_string(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

void append_set(std::string& out, const Statistics& statistics) {
    out.append(",\"StatisticValues\":{\"SampleCount\":").append(std::to_string(statistics.count()));
    out.append(",\"Sum\":").append(shortest(statistics.sum()));
    out.append(",\"Minimum\":").append(shortest(statistics.minimum()));
    out.append(",\"Maximum\":").append(shortest(statistics.maximum())).append("}");
}

void append_values(std::string& out, std::span<const CountedValue> values) {
    std::string numbers;
    std::string counts;
    bool all_once = true;
    for (const auto& [value, count] : values) {
        if (!numbers.empty()) {
            numbers += ',';
            counts += ',';
        }
        numbers += shortest(value);
        counts += std::to_string(count);
        all_once = all_once && count == 1;
    }
    out.append(",\"Values\":[").append(numbers).append("]");
    if (!all_once) out.append(",\"Counts\":[").append(counts).append("]");
}

std::string opening(const Datum& datum) {
    std::string out = "{\"MetricName\":";
    append_string(out, datum.metric->name);
    if (!datum.metric->dimensions.empty()) {
        out += ",\"Dimensions\":[";
        bool first = true;
        for (const Dimension& dimension : datum.metric->dimensions) {
            if (!first) out += ',';
            first = false;
            out += "{\"Name\":";
            append_string(out, dimension.name);
            out += ",\"Value\":";
            append_string(out, dimension.value);
            out += '}';
        }
        out += ']';
    }
    out.append(",\"Timestamp\":").append(std::to_string(to_unix_ms(datum.timestamp) / 1000));
    return out;
}

struct WireDatums {
    std::size_t count = 0;
    std::string json;  // with commas between them
};

WireDatums wire_datums(const Datum& datum, std::chrono::milliseconds period) {
    const std::string begin = opening(datum);
    std::string end = ",\"Unit\":";
    append_string(end, datum.metric->unit);
    const auto over = datum.period.count() == 0 ? period : datum.period;
    if (over < std::chrono::minutes{1}) end += ",\"StorageResolution\":1";
    end += '}';

    const Statistics& statistics = datum.statistics;
    WireDatums out;
    const auto add = [&](const auto& append) {
        if (out.count++ > 0) out.json += ',';
        out.json += begin;
        append();
        out.json += end;
    };
    if (statistics.count() == 1) {
        add([&] { out.json.append(",\"Value\":").append(shortest(statistics.sum())); });
        return out;
    }
    // CloudWatch gives no percentiles of a period with a negative value: the values would be bytes
    // for nothing.
    if (statistics.minimum() < 0 && statistics.minimum() < statistics.maximum()) {
        add([&] { append_set(out.json, statistics); });
        return out;
    }
    const std::vector<CountedValue> values = statistics.values();
    for (std::size_t i = 0; i < values.size(); i += kUniqueValuesMax) {
        add([&] {
            append_values(out.json, std::span(values).subspan(
                                        i, std::min(kUniqueValuesMax, values.size() - i)));
        });
    }
    return out;
}

}  // namespace

RequestBody build_request(std::string_view name_space, std::span<const Datum> datums,
                          std::chrono::milliseconds period, const RequestLimits& limits,
                          std::string_view extra) {
    std::string end = "]}";
    if (!extra.empty()) end.insert(0, extra).insert(0, 1, ',');
    std::size_t count = extra.empty() ? 0 : 1;
    RequestBody body;
    body.json = "{\"Namespace\":";
    append_string(body.json, name_space);
    body.json += ",\"MetricData\":[";
    for (const Datum& datum : datums) {
        const WireDatums wire = wire_datums(datum, period);
        const std::size_t comma = body.datum_count == 0 ? 0 : 1;
        const std::size_t whole = body.json.size() + comma + wire.json.size() + end.size();
        if (body.datum_count > 0 &&
            (whole > limits.bytes_max || count + wire.count > limits.datums_max)) {
            break;
        }
        if (comma == 1) body.json += ',';
        body.json += wire.json;
        count += wire.count;
        ++body.datum_count;
    }
    body.json += end;
    return body;
}

HttpRequest put_metric_data(std::string_view endpoint, const std::string& json,
                            const RequestLimits& limits) {
    return cloudwatch_request(endpoint, "PutMetricData", json, limits);
}

HttpRequest cloudwatch_request(std::string_view endpoint, std::string_view operation,
                               const std::string& json, const RequestLimits& limits) {
    HttpRequest request;
    request.method = "POST";
    request.url = std::string(endpoint) + "/";
    request.headers = {
        {"Content-Type", "application/x-amz-json-1.0"},
        {"X-Amz-Target", std::string("GraniteServiceVersion20100801.").append(operation)}};
    if (json.size() >= limits.gzip_bytes_min) {
        if (auto packed = gzip(json); packed && packed->size() < json.size()) {
            request.headers.push_back({"Content-Encoding", "gzip"});
            request.body = std::move(*packed);
            return request;
        }
    }
    request.body = json;
    return request;
}

Result<std::string> gzip(std::string_view data) {
    constexpr int kGzipWindow = 15 + 16;  // the largest window, in gzip's frame instead of zlib's
    constexpr int kDefaultMemory = 8;
    z_stream stream{};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kDefaultMemory,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return fail(Errc::limit, "gzip: no memory");
    }
    std::string out(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
    // zlib's interface takes a mutable pointer and does not write through it.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = deflate(&stream, Z_FINISH);
    const std::size_t length = stream.total_out;
    deflateEnd(&stream);
    if (status != Z_STREAM_END) return fail(Errc::limit, "gzip: did not finish");
    out.resize(length);
    return out;
}

}  // namespace ridgeline::collector
