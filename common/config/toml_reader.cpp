#include "common/config/toml_reader.h"

#include <algorithm>
#include <cstdlib>
#include <set>

// Header-only and without exceptions, in this one file: the compiled library would be one more
// shared object.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
// toml++ 3.3 asserts what hostile text can break ("[[[rule]]", a NUL after "["), although its own
// code right after the assertion reports it. With NDEBUG it would be an assumption instead.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/toml_text.h"

namespace ridgeline {

namespace {

constexpr std::size_t kConfigBytesMax = 4U << 20;

ConfigPlace place_of_region(const toml::source_region& region) {
    ConfigPlace place;
    if (region.path) place.file = *region.path;
    place.line = region.begin.line;
    place.column = region.begin.column;
    return place;
}

std::string_view type_name(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::string:
            return "a string";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a number";
        case toml::node_type::boolean:
            return "a boolean";
        case toml::node_type::array:
            return "an array";
        case toml::node_type::table:
            return "a table";
        default:
            return "a date or time";
    }
}

// Puts what `from` says over what `into` says. Nodes are moved, since copies lose their positions.
void merge(toml::table& into, toml::table&& from) {
    for (auto&& [key, node] : from) {
        toml::node* present = into.get(key.str());
        if (present != nullptr && present->is_table() && node.is_table()) {
            merge(*present->as_table(), std::move(*node.as_table()));
        } else if (present != nullptr && present->is_array_of_tables() &&
                   node.is_array_of_tables()) {
            for (auto&& element : *node.as_array())
                present->as_array()->push_back(std::move(*element.as_table()));
        } else {
            node.visit([&, name = key](auto& concrete) {
                into.insert_or_assign(name, std::move(concrete));
            });
        }
    }
}

}  // namespace

struct ConfigDocument::Impl {
    toml::table table;
    std::string name;
    std::vector<ConfigError> errors;

    void parse_over(std::string_view text, const std::string& file) {
        if (const auto stray = stray_non_ascii(text, file)) {
            errors.push_back({file, stray->line, stray->column,
                              "only strings and comments may hold other than ASCII characters"});
            return;
        }
        toml::parse_result parsed = toml::parse(text, file);
        if (!parsed) {
            const auto at = place_of_region(parsed.error().source());
            errors.push_back({file, at.line, at.column, std::string(parsed.error().description())});
            return;
        }
        merge(table, std::move(parsed).table());
    }

    void load_over(const std::filesystem::path& file) {
        const auto text = read_file(file, kConfigBytesMax);
        if (text) {
            parse_over(*text, file.string());
        } else {
            errors.push_back({file.string(), 0, 0, "cannot be read: " + text.error().context});
        }
    }
};

struct ConfigTable::State {
    std::shared_ptr<ConfigDocument::Impl> document;
    const toml::table* node = nullptr;  // null: the table is absent
    ConfigPlace place;
    std::set<std::string, std::less<>> asked;
    std::vector<std::shared_ptr<State>> children;

    const toml::node* find(std::string_view key) {
        asked.emplace(key);
        return node == nullptr ? nullptr : node->get(key);
    }

    void report(const toml::node* at, std::string message) {
        const ConfigPlace where = at == nullptr ? place : place_of_region(at->source());
        document->errors.push_back({where.file, where.line, where.column, std::move(message)});
    }

    void report_type(std::string_view key, const toml::node& found, std::string_view wanted) {
        report(&found, std::string(key) + " must be " + std::string(wanted) + ", not " +
                           std::string(type_name(found)));
    }

    std::shared_ptr<State> child(const toml::table* table, ConfigPlace at) {
        auto state = std::make_shared<State>();
        state->document = document;
        state->node = table;
        state->place = std::move(at);
        children.push_back(state);
        return state;
    }

    void close() {
        if (node != nullptr) {
            const std::vector<std::string> known(asked.begin(), asked.end());
            for (auto&& [key, value] : *node) {
                if (asked.contains(key.str())) continue;
                std::string message = "unknown key \"" + printable(key.str(), 100) + "\"";
                if (const auto meant = nearest(key.str(), known)) {
                    message += "; did you mean \"" + *meant + "\"?";
                } else if (!known.empty()) {
                    message += "; known here are";
                    for (const std::string& name : known)
                        message += " " + name;
                }
                const ConfigPlace at = place_of_region(key.source());
                document->errors.push_back({at.file, at.line, at.column, std::move(message)});
            }
        }
        for (const auto& state : children)
            state->close();
    }
};

std::string to_string(const ConfigError& error) {
    std::string out = error.file;
    if (error.line > 0)
        out += ":" + std::to_string(error.line) + ":" + std::to_string(error.column);
    return out + ": " + error.message;
}

std::string to_string(std::span<const ConfigError> errors) {
    std::string out;
    for (const ConfigError& error : errors)
        out += to_string(error) + "\n";
    return out;
}

ConfigDocument ConfigDocument::load(const std::filesystem::path& file) {
    ConfigDocument document;
    document.impl_ = std::make_shared<Impl>();
    document.impl_->name = file.string();
    document.impl_->load_over(file);

    std::filesystem::path directory = file;
    directory.replace_extension(".d");
    std::vector<std::filesystem::path> drop_ins;
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() == ".toml") drop_ins.push_back(it->path());
    }
    std::sort(drop_ins.begin(), drop_ins.end());
    for (const auto& drop_in : drop_ins)
        document.impl_->load_over(drop_in);
    return document;
}

ConfigDocument ConfigDocument::parse(std::string_view text, std::string_view name) {
    ConfigDocument document;
    document.impl_ = std::make_shared<Impl>();
    document.impl_->name = std::string(name);
    document.impl_->parse_over(text, std::string(name));
    return document;
}

ConfigTable ConfigDocument::root() {
    ConfigTable table;
    table.state_ = std::make_shared<ConfigTable::State>();
    table.state_->document = impl_;
    table.state_->node = &impl_->table;
    table.state_->place = {impl_->name, 1, 1};
    return table;
}

void ConfigDocument::add_error(const ConfigPlace& at, std::string message) {
    impl_->errors.push_back({at.file, at.line, at.column, std::move(message)});
}

const std::vector<ConfigError>& ConfigDocument::errors() const {
    return impl_->errors;
}

bool ConfigTable::has(std::string_view key) const {
    return state_->node != nullptr && state_->node->contains(key);
}

ConfigPlace ConfigTable::place() const {
    return state_->place;
}

ConfigPlace ConfigTable::place_of(std::string_view key) const {
    const toml::node* node = state_->node == nullptr ? nullptr : state_->node->get(key);
    return node == nullptr ? state_->place : place_of_region(node->source());
}

std::string ConfigTable::string(std::string_view key, std::string_view fallback) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return std::string(fallback);
    if (const auto* text = node->as_string()) return text->get();
    state_->report_type(key, *node, "a string");
    return std::string(fallback);
}

bool ConfigTable::boolean(std::string_view key, bool fallback) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    if (const auto* value = node->as_boolean()) return value->get();
    state_->report_type(key, *node, "true or false");
    return fallback;
}

std::int64_t ConfigTable::integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    const auto* value = node->as_integer();
    if (value == nullptr) {
        state_->report_type(key, *node, "an integer");
    } else if (value->get() < min || value->get() > max) {
        state_->report(node, std::string(key) + " must be from " + std::to_string(min) + " to " +
                                 std::to_string(max));
    } else {
        return value->get();
    }
    return fallback;
}

double ConfigTable::number(std::string_view key, double fallback, double min, double max) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    const auto value = node->is_number() ? node->value<double>() : std::nullopt;
    if (!value) {
        state_->report_type(key, *node, "a number");
    } else if (!(*value >= min && *value <= max)) {
        state_->report(
            node, std::string(key) + " must be from " + shortest(min) + " to " + shortest(max));
    } else {
        return *value;
    }
    return fallback;
}

std::chrono::milliseconds ConfigTable::duration(std::string_view key,
                                                std::chrono::milliseconds fallback,
                                                std::chrono::milliseconds min,
                                                std::chrono::milliseconds max) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    const auto* text = node->as_string();
    if (text == nullptr) {
        state_->report_type(key, *node, "a duration such as \"10s\"");
        return fallback;
    }
    const auto value = parse_duration(text->get());
    if (!value) {
        state_->report(node, std::string(key) + ": " + value.error().context);
    } else if (*value < min || *value > max) {
        state_->report(node, std::string(key) + " must be from " + format_duration(min) + " to " +
                                 format_duration(max));
    } else {
        return *value;
    }
    return fallback;
}

std::uint64_t ConfigTable::size_bytes(std::string_view key, std::uint64_t fallback,
                                      std::uint64_t min, std::uint64_t max) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    const auto* text = node->as_string();
    if (text == nullptr) {
        state_->report_type(key, *node, "a size such as \"256MiB\"");
        return fallback;
    }
    const auto value = parse_size(text->get());
    if (!value) {
        state_->report(node, std::string(key) + ": " + value.error().context);
    } else if (*value < min || *value > max) {
        state_->report(node, std::string(key) + " must be from " +
                                 format_size(static_cast<double>(min)) + " to " +
                                 format_size(static_cast<double>(max)));
    } else {
        return *value;
    }
    return fallback;
}

std::vector<std::string> ConfigTable::strings(std::string_view key,
                                              std::vector<std::string> fallback) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return fallback;
    const auto* array = node->as_array();
    if (array == nullptr) {
        state_->report_type(key, *node, "an array of strings");
        return fallback;
    }
    std::vector<std::string> values;
    for (const toml::node& element : *array) {
        if (const auto* text = element.as_string()) {
            values.push_back(text->get());
        } else {
            state_->report_type(std::string(key) + "'s elements", element, "strings");
        }
    }
    return values;
}

std::vector<std::int64_t> ConfigTable::integers(std::string_view key) {
    const toml::node* node = state_->find(key);
    std::vector<std::int64_t> values;
    if (node == nullptr) return values;
    const auto* array = node->as_array();
    if (array == nullptr) {
        state_->report_type(key, *node, "an array of integers");
        return values;
    }
    for (const toml::node& element : *array) {
        if (const auto* value = element.as_integer()) {
            values.push_back(value->get());
        } else {
            state_->report_type(std::string(key) + "'s elements", element, "integers");
        }
    }
    return values;
}

std::vector<std::string> ConfigTable::string_or_strings(std::string_view key) {
    const toml::node* node = state_->find(key);
    if (node != nullptr && node->is_string()) return {node->as_string()->get()};
    return strings(key);
}

std::map<std::string, std::string> ConfigTable::string_map(std::string_view key) {
    const toml::node* node = state_->find(key);
    std::map<std::string, std::string> values;
    if (node == nullptr) return values;
    const auto* table = node->as_table();
    if (table == nullptr) {
        state_->report_type(key, *node, "a table of strings such as { role = \"web\" }");
        return values;
    }
    for (auto&& [name, value] : *table) {
        if (const auto* text = value.as_string()) {
            values[std::string(name.str())] = text->get();
        } else {
            state_->report_type(name.str(), value, "a string");
        }
    }
    return values;
}

std::string ConfigTable::choice(std::string_view key, std::string_view fallback,
                                std::span<const std::string> allowed) {
    std::string value = string(key, fallback);
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
    std::string message = std::string(key) + " must be one of";
    for (const std::string& option : allowed)
        message += " \"" + option + "\"";
    if (const auto meant = nearest(value, allowed)) message += "; did you mean \"" + *meant + "\"?";
    error_at(key, std::move(message));
    return std::string(fallback);
}

std::optional<std::string> ConfigTable::scalar_text(std::string_view key) {
    const toml::node* node = state_->find(key);
    if (node == nullptr) return {};
    if (const auto* text = node->as_string()) return text->get();
    if (const auto* integer = node->as_integer()) return std::to_string(integer->get());
    if (const auto* number = node->as_floating_point()) return shortest(number->get());
    state_->report_type(key, *node, "a string or a number");
    return {};
}

ConfigTable ConfigTable::table(std::string_view key) {
    const toml::node* node = state_->find(key);
    const toml::table* found = nullptr;
    if (node != nullptr) {
        found = node->as_table();
        if (found == nullptr) state_->report_type(key, *node, "a table");
    }
    ConfigTable result;
    result.state_ =
        state_->child(found, found == nullptr ? state_->place : place_of_region(found->source()));
    return result;
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key) {
    const toml::node* node = state_->find(key);
    std::vector<ConfigTable> result;
    if (node == nullptr) return result;
    const auto* array = node->as_array();
    if (array == nullptr) {
        state_->report_type(key, *node, "an array of tables");
        return result;
    }
    for (const toml::node& element : *array) {
        if (const auto* found = element.as_table()) {
            ConfigTable entry;
            entry.state_ = state_->child(found, place_of_region(found->source()));
            result.push_back(std::move(entry));
        } else {
            state_->report_type(std::string(key) + "'s elements", element, "tables");
        }
    }
    return result;
}

std::vector<std::string> ConfigTable::keys() const {
    std::vector<std::string> names;
    if (state_->node == nullptr) return names;
    for (auto&& [key, value] : *state_->node)
        names.emplace_back(key.str());
    return names;
}

bool ConfigTable::skip(std::string_view key) {
    return state_->find(key) != nullptr;
}

void ConfigTable::error_at(std::string_view key, std::string message) {
    state_->report(state_->node == nullptr ? nullptr : state_->node->get(key), std::move(message));
}

void ConfigTable::close() {
    state_->close();
}

Result<std::string> resolve_secret(std::string_view value) {
    std::filesystem::path path;
    if (value.starts_with("file:")) {
        path = std::string(value.substr(5));
    } else if (value.starts_with("credential:")) {
        const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
        if (directory == nullptr) {
            return fail(Errc::not_found,
                        std::string(value) +
                            ": $CREDENTIALS_DIRECTORY is not set; add LoadCredential= to the unit");
        }
        const std::string name(value.substr(11));
        if (name.empty() || name.find('/') != std::string::npos) {
            return fail(Errc::invalid_argument, std::string(value) + ": not a credential's name");
        }
        path = std::filesystem::path(directory) / name;
    } else {
        return std::string(value);
    }
    RL_ASSIGN_OR_RETURN(const std::string content, read_file(path, 64 * 1024));
    std::string_view rest = content;
    return std::string(trim(next_line(rest)));
}

}  // namespace ridgeline
