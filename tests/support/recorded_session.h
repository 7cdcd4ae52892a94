// A conversation between an agent and a collector of some version, byte by byte, as
// tests/fixtures/wire has them: lines "agent CONNECTION HEX", "collector CONNECTION HEX", and
// "sync" where the collector's log became durable.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/wire/messages.h"
#include "tests/support/catch.h"

namespace ridgeline::test {

struct RecordedStep {
    enum class Kind : std::uint8_t { agent, collector, sync } kind = Kind::sync;
    int connection = 0;
    std::string bytes;
};

inline std::string from_hex(const std::string& digits) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return bytes;
}

inline std::vector<RecordedStep> recorded_session(const std::string& name) {
    std::ifstream file(std::string(RIDGELINE_FIXTURES) + "/wire/" + name);
    REQUIRE(file);
    std::vector<RecordedStep> steps;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line.front() == '#') continue;
        std::istringstream words(line);
        std::string who;
        std::string digits;
        RecordedStep step;
        words >> who >> step.connection >> digits;
        if (who == "agent") step.kind = RecordedStep::Kind::agent;
        if (who == "collector") step.kind = RecordedStep::Kind::collector;
        step.bytes = from_hex(digits);
        steps.push_back(std::move(step));
    }
    REQUIRE(steps.size() > 20);
    return steps;
}

// The same message from a peer of a version to come: with fields that nobody knows yet, in the
// message itself and beside it.
inline std::string with_unknown_fields(const std::string& message) {
    constexpr std::string_view kUnknown("\x98\x06\x01\xc2\x3e\x03new", 9);  // 99 = 1, 1000 = "new"
    std::size_t at = 1;  // every kind has a tag of one byte
    std::size_t length = 0;
    for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(message[at++]);
        length |= static_cast<std::size_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) break;
    }
    REQUIRE(at + length == message.size());
    const std::string inner = message.substr(at) + std::string(kUnknown);
    std::string out(1, message.front());
    std::size_t rest = inner.size();
    for (; rest >= 0x80; rest >>= 7)
        out += static_cast<char>((rest & 0x7F) | 0x80);
    out += static_cast<char>(rest);
    return out + inner + std::string(kUnknown);
}

// A message of a kind to come.
inline std::string of_unknown_kind() {
    return std::string("\xc2\x0c\x03new", 6);  // 200 = "new"
}

}  // namespace ridgeline::test
