// Configuration text: every accessor on whatever was parsed; every error has a place.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/config/toml_reader.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

namespace {

void ask_for_everything(ConfigTable& table) {
    using namespace std::chrono_literals;
    static const std::array<std::string, 2> kChoices = {"one", "two"};
    (void)table.string("text", "");
    (void)table.boolean("flag", false);
    const auto whole = table.integer("whole", 1, 0, 10);
    fuzz::expect(whole >= 0 && whole <= 10, "an integer is within its range");
    const auto ratio = table.number("ratio", 0.5, 0, 1);
    fuzz::expect(ratio >= 0 && ratio <= 1, "a number is within its range");
    const auto wait = table.duration("wait", 1s, 1ms, 1h);
    fuzz::expect(wait >= 1ms && wait <= 1h, "a duration is within its range");
    const auto size = table.size_bytes("size", 1, 1, 1U << 30);
    fuzz::expect(size >= 1 && size <= 1U << 30, "a size is within its range");
    (void)table.strings("list");
    (void)table.string_or_strings("one_or_many");
    (void)table.string_map("map");
    (void)table.choice("choice", "one", kChoices);
    (void)table.scalar_text("scalar");
    (void)table.keys();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    ConfigDocument document = ConfigDocument::parse(text, "fuzz.toml");
    ConfigTable root = document.root();
    ask_for_everything(root);
    ConfigTable table = root.table("table");
    ask_for_everything(table);
    for (ConfigTable& element : root.tables("tables"))
        ask_for_everything(element);
    root.close();
    for (const ConfigError& error : document.errors()) {
        fuzz::expect(error.file == "fuzz.toml" && !error.message.empty(),
                     "an error says where and what");
        (void)to_string(error);
    }
    return 0;
}
