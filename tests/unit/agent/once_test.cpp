#include "agent/once.h"

#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

// A certificate, a ratio that needs two readings, and one file that cannot be read.
class FakeSource final : public Source {
  public:
    explicit FakeSource(std::string name, bool fails = false)
        : name_(std::move(name)), fails_(fails) {}
    std::string_view name() const override { return name_; }
    bool emits_after_error() const override { return fails_; }
    Result<void> read(const SampleInstant&) override {
        ++reads_;
        if (fails_) return fail(Errc::not_found, "/gone.pem: no such file");
        return {};
    }
    void emit(Recorder& out) override {
        if (name_ == "certificate") {
            const Attributes attributes{{"issuer", "CA"},
                                        {"path", "/c.pem"},
                                        {"position", "0"},
                                        {"serial", "1"},
                                        {"subject", "www\n"}};
            if (!declared_) {
                expiry_ = out.declare("tls.certificate.expiry_time", attributes);
                remaining_ = out.declare("tls.certificate.remaining_time", attributes);
            }
            out.record(expiry_, 1'795'000'000);
            out.record(remaining_, 838080);
        } else {
            if (!declared_) remaining_ = out.declare("system.cpu.utilization", {{"state", "used"}});
            if (reads_ > 1) out.record(remaining_, 0.42);
        }
        declared_ = true;
    }

  private:
    std::string name_;
    bool fails_;
    int reads_ = 0;
    bool declared_ = false;
    SlotId expiry_{}, remaining_{};
};

struct Run {
    int code = 0;
    std::string text;
};

Run once(OnceFormat format, const std::string& source = "", bool certificate_fails = false) {
    std::vector<ScheduledSource> sources;
    sources.push_back({std::make_unique<FakeSource>("cpu"), std::chrono::seconds{1}});
    sources.push_back(
        {std::make_unique<FakeSource>("certificate", certificate_fails), std::chrono::hours{1}});
    test::ManualClock clock;
    std::ostringstream out;
    Run run;
    run.code = run_once(
        sources, {format, source}, clock, [&](std::chrono::milliseconds by) { clock.advance(by); },
        out);
    run.text = out.str();
    return run;
}

}  // namespace

TEST_CASE("once prints a table that people read", "[once]") {
    const Run run = once(OnceFormat::table);
    CHECK(run.code == 0);
    CHECK(run.text.find("  system.cpu.utilization                    42.0%  state=used\n") !=
          std::string::npos);
    CHECK(run.text.find(
              "          9  2026-11-18T11:06:40Z  www?\n             /c.pem, issued by CA\n") !=
          std::string::npos);
    CHECK(once(OnceFormat::table, "cpu").text.find("DAYS LEFT") == std::string::npos);
}

TEST_CASE("once prints JSON and Prometheus text", "[once]") {
    CHECK(
        once(OnceFormat::json, "cpu").text ==
        R"({"time":"2026-03-02T10:00:01.000Z","sources":[{"source":"cpu","samples":[{"metric":"system.cpu.utilization","unit":"1","attributes":{"state":"used"},"value":0.42}]}]})"
        "\n");
    const std::string text = once(OnceFormat::prometheus).text;
    CHECK(text.find("# TYPE system_cpu_utilization_ratio "
                    "gauge\nsystem_cpu_utilization_ratio{state=\"used\"} 0.42\n") !=
          std::string::npos);
    CHECK(text.find("tls_certificate_remaining_time_seconds{issuer=\"CA\",path=\"/"
                    "c.pem\",position=\"0\",serial=\"1\",subject=\"www?\"} 838080\n") !=
          std::string::npos);
}

TEST_CASE("a source that fails is said, and what it could read is shown", "[once]") {
    const Run run = once(OnceFormat::table, "", true);
    CHECK(run.code == 1);
    CHECK(run.text.find("  error: /gone.pem: no such file\n") != std::string::npos);
    CHECK(run.text.find("/c.pem") != std::string::npos);
}
