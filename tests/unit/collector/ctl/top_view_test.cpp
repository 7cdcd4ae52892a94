#include "collector/ctl/top_view.h"

#include <cmath>
#include <sstream>

#include "collector/ctl/table.h"
#include "tests/support/catch.h"

using namespace ridgeline::collector;

namespace {

TopModel two_hosts() {
    TopModel model;
    model.time = "2026-11-23T14:00:00Z";
    TopHost web;
    web.id = "web-1.example.com";
    web.connected = true;
    web.cpu = 0.42;
    web.cpu_history = {0, 0.1, 0.5, NAN, 0.99, 1};
    web.memory = 0.91;
    web.disk = 0.85;
    web.disk_mountpoint = "/var/lib/postgresql";
    web.receive = 1.5e6;
    web.transmit = 900;
    web.certificate_seconds = 9.5 * 86400;
    web.alerts = 2;
    web.worst = "P1";
    TopHost field;
    field.id = "field-7";
    model.hosts = {web, field};
    model.alerts = {
        {"P1", "web-1.example.com",
         "web-1.example.com: /var/lib/postgresql is 97.2% full and this text goes on and on",
         "2026-11-23T13:55:00Z", 300}};
    return model;
}

}  // namespace

TEST_CASE("top at 80 columns", "[top]") {
    const std::string expected =
        "ridgeline  2 hosts, 1 silent, 1 alert                       2026-11-23T14:00:00Z\n"
        "HOST            CPU              MEM DISK               RX     TX    CERT ALERT\n"
        "web-1.example…  42% ▁▁▄ ██        91%  85% /var/lib…   1.4M    900      9d  2 P1\n"
        "!field-7          -                 -    -                -      -       -     -\n"
        "\n"
        "P1 5m      web-1.example.com: /var/lib/postgresql is 97.2% full and this text g…\n";
    CHECK(render_top(two_hosts(), {80, 0, true, false}) == expected);
}

TEST_CASE("no line is longer than the screen, in either alphabet", "[top]") {
    for (const std::size_t width : {80U, 100U, 120U, 200U}) {
        for (const bool utf8 : {true, false}) {
            std::istringstream lines(render_top(two_hosts(), {width, 0, utf8, false}));
            for (std::string line; std::getline(lines, line);) {
                CHECK(display_width(line) <= width);
                if (!utf8) CHECK(display_width(line) == line.size());
            }
        }
    }
}

TEST_CASE("what does not fit the height is counted", "[top]") {
    TopModel model = two_hosts();
    for (int i = 0; i < 50; ++i)
        model.hosts.push_back(model.hosts[1]);
    const std::string text = render_top(model, {80, 20, true, false});
    CHECK(std::count(text.begin(), text.end(), '\n') <= 20);
    CHECK(text.find("… and ") != std::string::npos);
    CHECK(text.find("P1 5m") != std::string::npos);
    for (const std::size_t tiny : {1U, 2U, 3U}) {
        const std::string small = render_top(model, {80, tiny, true, false});
        CHECK(static_cast<std::size_t>(std::count(small.begin(), small.end(), '\n')) <= tiny);
    }
}

TEST_CASE("sparklines keep to their width and leave gaps blank", "[top]") {
    CHECK(sparkline({0, 0.5, 1, NAN}, 10, true) == "▁▄█ ");
    CHECK(sparkline({0, 0.5, 1, NAN}, 2, false) == "# ");
    CHECK(sparkline({-5, 17}, 10, false) == "_#");
}

TEST_CASE("tables give way where they may", "[table]") {
    const std::vector<Column> columns = {{"NAME", false, true}, {"N", true}};
    CHECK(format_table(columns, {{"a-rather-long-name", "5"}}, 80, true) ==
          "NAME                N\na-rather-long-name  5\n");
    CHECK(format_table(columns, {{"a-rather-long-name", "5"}}, 15, true) ==
          "NAME          N\na-rather-lo…  5\n");
    CHECK(fit("Zürich", 4, true) == "Zür…");
    CHECK(fit_right("ab", 4, false) == "  ab");
    CHECK(fit("abc", 0, true).empty());
}
