// Strict reading of TOML: every mistake is reported with file:line:column, all of them in one go.
//
// A ConfigTable is asked for each key it may hold; the accessor checks the type and the range,
// records what is wrong and hands back the default. close() reports every key nobody asked for,
// with the nearest one that exists. Nothing here logs or exits. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline {

struct ConfigError {
    std::string file;
    std::uint32_t line = 0;  // 1-based; 0 when the whole file is meant (it cannot be read)
    std::uint32_t column = 0;
    std::string message;
};
// "/etc/ridgeline/agent.toml:12:3: unknown key \"intervall\"; did you mean \"interval\"?"
std::string to_string(const ConfigError& error);
std::string to_string(std::span<const ConfigError> errors);  // one a line

class ConfigDocument;

// A value with the place it was written at, for checks that need to look at several keys together.
struct ConfigPlace {
    std::string file;
    std::uint32_t line = 0;
    std::uint32_t column = 0;
};

// Valid while its ConfigDocument lives.
class ConfigTable {
  public:
    bool has(std::string_view key) const;
    ConfigPlace place() const;                         // of the table's header
    ConfigPlace place_of(std::string_view key) const;  // of the key's value, or of the table

    std::string string(std::string_view key, std::string_view fallback);
    bool boolean(std::string_view key, bool fallback);
    std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                         std::int64_t max);
    double number(std::string_view key, double fallback, double min, double max);
    std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback,
                                       std::chrono::milliseconds min,
                                       std::chrono::milliseconds max);
    std::uint64_t size_bytes(std::string_view key, std::uint64_t fallback, std::uint64_t min,
                             std::uint64_t max);
    std::vector<std::string> strings(std::string_view key, std::vector<std::string> fallback = {});
    std::vector<std::int64_t> integers(std::string_view key);
    // One string or an array of them.
    std::vector<std::string> string_or_strings(std::string_view key);
    std::map<std::string, std::string> string_map(std::string_view key);
    // One of `allowed`, else an error that lists them.
    std::string choice(std::string_view key, std::string_view fallback,
                       std::span<const std::string> allowed);
    // A string, or a number printed as one: for quantities such as at = "80%" or at = 0.8.
    std::optional<std::string> scalar_text(std::string_view key);

    // A sub-table; an empty one (defaults apply) when the key is absent.
    ConfigTable table(std::string_view key);
    // [[key]] or key = [ {…}, {…} ]; empty when absent.
    std::vector<ConfigTable> tables(std::string_view key);
    // The keys present in this table, for tables whose keys are names ([severity.P1]).
    std::vector<std::string> keys() const;

    // Counts `key` as known without reading it, for keys that get an error of their own. True when
    // it is there.
    bool skip(std::string_view key);
    // Records an error at `key` (or at the table when the key is absent).
    void error_at(std::string_view key, std::string message);
    // To be called once all keys were asked for: reports the unknown ones, here and in the tables
    // handed out.
    void close();

  private:
    friend class ConfigDocument;
    struct State;
    std::shared_ptr<State> state_;
};

// The main file with its drop-ins (`<file without .toml>.d/*.toml`, in name order) merged over it:
// tables key by key, everything else replaced whole, arrays of tables appended.
class ConfigDocument {
  public:
    static ConfigDocument load(const std::filesystem::path& file);
    static ConfigDocument parse(std::string_view text, std::string_view name);  // no drop-ins

    ConfigTable root();
    void add_error(const ConfigPlace& at, std::string message);
    const std::vector<ConfigError>& errors() const;
    bool ok() const { return errors().empty(); }

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
    friend class ConfigTable;
};

// "plain", "file:/path" (first line of the file) or "credential:NAME" (systemd's
// $CREDENTIALS_DIRECTORY).
Result<std::string> resolve_secret(std::string_view value);

}  // namespace ridgeline
