#include "agent/facts/http_response.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kHeadersMax = 64;

tl::unexpected<Error> odd(const char* what) {
    return fail(Errc::corrupt, std::string("HTTP response: ") + what);
}

bool same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
        return std::tolower(x) == std::tolower(y);
    });
}

// Off the front of `rest`, without its line end.
std::string_view take_line(std::string_view& rest) {
    std::string_view line = next_line(rest);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

std::optional<std::string> read_chunks(std::string_view rest) {
    std::string body;
    while (!rest.empty()) {
        std::string_view line = take_line(rest);
        line = trim(line.substr(0, line.find(';')));
        std::size_t size = 0;
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
        if (error != std::errc{} || end != line.data() + line.size()) return {};
        if (size == 0) return body;
        if (size > rest.size()) return {};
        body += rest.substr(0, size);
        rest.remove_prefix(size);
        if (!take_line(rest).empty()) return {};
    }
    return {};
}

}  // namespace

Result<HttpResponse> parse_http_response(std::string_view bytes) {
    if (bytes.size() > kHttpResponseBytesMax) return odd("too long");
    std::string_view status_line = take_line(bytes);
    HttpResponse response;
    if (!status_line.starts_with("HTTP/1.")) return odd("not HTTP/1");
    next_field(status_line);
    const auto status = to_u64(next_field(status_line));
    if (!status || *status < 100 || *status > 599) return odd("no status");
    response.status = static_cast<int>(*status);
    std::optional<std::uint64_t> length;
    bool chunked = false;
    bool headers_ended = false;
    for (std::size_t i = 0; i < kHeadersMax && !bytes.empty() && !headers_ended; ++i) {
        const std::string_view line = take_line(bytes);
        const std::size_t colon = line.find(':');
        headers_ended = line.empty();
        if (headers_ended || colon == std::string_view::npos) continue;
        const std::string_view value = trim(line.substr(colon + 1));
        if (same_name(line.substr(0, colon), "Content-Length")) {
            length = to_u64(value);
            if (!length) return odd("a length that is no number");
        } else if (same_name(line.substr(0, colon), "Transfer-Encoding")) {
            chunked = same_name(value, "chunked");
        }
    }
    if (!headers_ended) return odd("cut in its headers");
    if (chunked) {
        auto body = read_chunks(bytes);
        if (!body) return odd("its chunks are cut short");
        response.body = std::move(*body);
    } else {
        if (length && *length > bytes.size()) return odd("its body is cut short");
        response.body = bytes.substr(0, length.value_or(bytes.size()));
    }
    return response;
}

std::string json_string(std::string_view json, std::string_view name) {
    const std::string key = "\"" + std::string(name) + "\"";
    std::size_t at = json.find(key);
    if (at == std::string_view::npos) return {};
    std::string_view rest = json.substr(at + key.size());
    const auto skip_blanks = [&] {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
    };
    skip_blanks();
    if (!rest.starts_with(':')) return {};
    rest.remove_prefix(1);
    skip_blanks();
    if (!rest.starts_with('"')) return {};
    rest.remove_prefix(1);
    const std::size_t end = rest.find('"');
    return end == std::string_view::npos ? std::string() : std::string(rest.substr(0, end));
}

}  // namespace ridgeline::agent
