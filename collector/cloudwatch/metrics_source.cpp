#include "collector/cloudwatch/metrics_source.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "collector/cloudwatch/api.h"
#include "collector/cloudwatch/metric_data.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr const char* kOperation = "GetMetricData";
constexpr auto kBackoffFirst = 1s;
constexpr auto kBackoffMax = 60s;
constexpr auto kDeniedPause = 60s;
// So many failures in a row that may pass by themselves are worth an alert.
constexpr unsigned kFailuresTold = 3;
// A window of a day by the minute is 1,440 points a metric: 500 metrics are 8 pages.
constexpr std::size_t kPagesMax = 1'000;

std::int64_t seconds(std::chrono::milliseconds time) {
    return time.count() / 1000;
}

}  // namespace

class AwsMetricsSource::Impl : public std::enable_shared_from_this<AwsMetricsSource::Impl> {
  public:
    Impl(std::vector<AwsMetricsTarget> read_from, HttpClient& http,
         CredentialsProvider& credentials, const Clock& clock, const Rng& rng, Callbacks callbacks)
        : targets(std::move(read_from)), clock_(clock), callbacks_(std::move(callbacks)) {
        for (const AwsMetricsTarget& target : targets)
            entries_.push_back(std::make_unique<Entry>(target, http, credentials, clock, rng));
    }

    void poll() {
        for (const auto& entry : entries_) {
            if (!entry->recalled) recall(*entry);
            if (!entry->round && !entry->pace.pausing(clock_.mono_now())) begin_round(*entry);
        }
    }

    void on_sync_begun() {
        for (const auto& entry : entries_)
            entry->syncing = entry->not_durable.size();
    }

    void on_durable() {
        for (const auto& entry : entries_) {
            entry->not_durable.erase(
                entry->not_durable.begin(),
                entry->not_durable.begin() + static_cast<std::ptrdiff_t>(entry->syncing));
            entry->syncing = 0;
        }
    }

    void on_sync_failed() {
        for (const auto& entry : entries_) {
            for (const auto& [query, start] : entry->not_durable)
                entry->known[query].erase(start);
            entry->not_durable.clear();
            entry->syncing = 0;
        }
    }

    std::map<std::string, AwsMetricsStats> stats() const {
        std::map<std::string, AwsMetricsStats> out;
        for (const auto& entry : entries_) {
            AwsMetricsStats stats = entry->stats;
            stats.series = entry->known.size();
            for (const auto& known : entry->known)
                stats.series_empty += known.empty() ? 1 : 0;
            out[entry->config().name] = std::move(stats);
        }
        return out;
    }

    const std::vector<AwsMetricsTarget> targets;

  private:
    using Points = std::map<std::int64_t, double>;  // by the period's begin, in seconds

    // Queries of one region that are asked together.
    struct Chunk {
        CloudWatchApi* api = nullptr;
        std::vector<std::size_t> queries;
        std::string token;
        std::size_t pages = 0;
    };
    struct Round {
        MetricDataWindow window;
        std::vector<Chunk> chunks;  // the first is the one under way
        std::vector<Points> points;
        std::set<std::size_t> incomplete;
    };
    struct Entry {
        Entry(const AwsMetricsTarget& of, HttpClient& http, CredentialsProvider& credentials,
              const Clock& clock, const Rng& rng)
            : target(of),
              api(of.endpoint, of.region, http, credentials, clock),
              global_api(of.global_endpoint, of.global_region, http, credentials, clock),
              pace(1, kBackoffMax, rng),
              known(of.config.queries.size()) {
            SchemaGroup group{"aws", {}};
            for (const AwsMetricQuery& query : of.config.queries)
                group.series.push_back(query.series);
            schema.groups.push_back(std::move(group));
        }
        const AwsMetricsConfig& config() const { return target.config; }

        const AwsMetricsTarget& target;
        CloudWatchApi api;
        CloudWatchApi global_api;
        Pace pace;
        Schema schema;
        AwsMetricsStats stats;
        bool recalled = false;
        std::optional<std::int64_t> read_until_s;
        std::vector<Points> known;  // in the log, by query; as far back as they may be asked for
        std::vector<std::pair<std::size_t, std::int64_t>> not_durable;
        std::size_t syncing = 0;  // the first so many of not_durable
        std::optional<Round> round;
        unsigned failures = 0;  // in a row
    };

    std::int64_t now_s() const { return to_unix_ms(clock_.wall_now()) / 1000; }

    // What an earlier run took.
    void recall(Entry& entry) {
        entry.recalled = true;
        const AwsMetricsConfig& config = entry.config();
        const std::int64_t period_s = seconds(config.period);
        const std::int64_t to_ms = to_unix_ms(clock_.wall_now());
        const std::int64_t from_ms =
            to_ms - (config.backfill + config.reread + config.delay + 2 * config.period).count();
        for (std::size_t i = 0; i < config.queries.size(); ++i) {
            const double scale = config.queries[i].scale;
            callbacks_.stored(config.host_id(), config.queries[i].series, from_ms, to_ms,
                              [&](std::int64_t end_ms, double value) {
                                  const std::int64_t end_s = end_ms / 1000;
                                  entry.known[i][end_s - period_s] = value / scale;
                                  entry.read_until_s =
                                      std::max(entry.read_until_s.value_or(0), end_s);
                              });
        }
        if (entry.read_until_s) entry.stats.read_until = from_unix_ms(*entry.read_until_s * 1000);
    }

    void begin_round(Entry& entry) {
        const AwsMetricsConfig& config = entry.config();
        const std::int64_t period_s = seconds(config.period);
        const auto aligned = [&](std::int64_t time_s) { return time_s / period_s * period_s; };
        const std::int64_t to_s = aligned(now_s() - seconds(config.delay));
        // A clock that was set back; what was read stays known.
        if (entry.read_until_s && *entry.read_until_s > to_s + period_s) entry.read_until_s = to_s;
        if (entry.read_until_s && *entry.read_until_s >= to_s) return;
        Round round;
        const std::int64_t longest_s = to_s - seconds(config.backfill);
        const std::int64_t back_to_s =
            entry.read_until_s ? *entry.read_until_s - seconds(config.reread) : longest_s;
        round.window = {aligned(std::max(back_to_s, longest_s)), to_s, period_s};
        round.points.resize(config.queries.size());
        add_chunks(entry, round, false);
        add_chunks(entry, round, true);
        entry.round = std::move(round);
        ask(entry);
    }

    static void add_chunks(Entry& entry, Round& round, bool global) {
        const std::size_t most = queries_per_request(round.window);
        const auto& queries = entry.config().queries;
        bool open = false;
        for (std::size_t i = 0; i < queries.size(); ++i) {
            if (queries[i].global != global) continue;
            if (!open || round.chunks.back().queries.size() == most) {
                round.chunks.push_back({global ? &entry.global_api : &entry.api, {}, "", 0});
                open = true;
            }
            round.chunks.back().queries.push_back(i);
        }
    }

    void ask(Entry& entry) {
        Chunk& chunk = entry.round->chunks.front();
        std::vector<const AwsMetricQuery*> queries;
        for (const std::size_t i : chunk.queries)
            queries.push_back(&entry.config().queries[i]);
        ++chunk.pages;
        entry.stats.metrics_asked += queries.size();
        chunk.api->call(kOperation, metric_data_request(queries, entry.round->window, chunk.token),
                        [weak = weak_from_this(), &entry](Result<CloudWatchReply> reply) {
                            if (const auto self = weak.lock())
                                self->answered(entry, std::move(reply));
                        });
    }

    void answered(Entry& entry, Result<CloudWatchReply> reply) {
        if (!reply) {
            ++entry.stats.request_errors;
            return failed(entry, reply.error().context, kBackoffFirst,
                          reply.error().code != Errc::unavailable);
        }
        const AnswerClass answer_class = reply->answer.answer_class;
        ++entry.stats.answers[static_cast<std::size_t>(answer_class)];
        if (answer_class != AnswerClass::ok) {
            const bool passes =
                answer_class == AnswerClass::throttled || answer_class == AnswerClass::transient;
            return failed(entry, explain(reply->answer, kOperation),
                          passes ? kBackoffFirst : kDeniedPause, !passes);
        }
        Chunk& chunk = entry.round->chunks.front();
        auto page = parse_metric_data(reply->body, chunk.queries.size(), entry.round->window);
        if (!page) {
            ++entry.stats.request_errors;
            return failed(entry, page.error().context, kDeniedPause, true);
        }
        take(entry, chunk, *page);
        if (!page->next_token.empty() && chunk.pages < kPagesMax) {
            chunk.token = std::move(page->next_token);
            return ask(entry);
        }
        entry.round->chunks.erase(entry.round->chunks.begin());
        if (!entry.round->chunks.empty()) return ask(entry);
        finish(entry);
    }

    static void take(Entry& entry, const Chunk& chunk, const MetricDataPage& page) {
        using Status = MetricDataPage::Status;
        for (const MetricDataPage::Result& result : page.results) {
            const std::size_t query = chunk.queries[result.query];
            for (const auto& [start_s, value] : result.points)
                entry.round->points[query][start_s] = value;
            // More pages may complete what is partial.
            if (result.status == Status::complete) entry.round->incomplete.erase(query);
            if (result.status != Status::complete) entry.round->incomplete.insert(query);
            if (result.status == Status::forbidden) {
                ++entry.stats.metrics_forbidden;
                entry.stats.last_error = to_string(entry.config().queries[query].series) +
                                         ": forbidden: " + result.message +
                                         ". Allow cloudwatch:GetMetricData for it";
            }
        }
    }

    void failed(Entry& entry, const std::string& why, std::chrono::milliseconds first,
                bool needs_a_person) {
        entry.round.reset();
        ++entry.failures;
        entry.stats.last_error = printable(why, 1024);
        entry.pace.failed(clock_.mono_now(), first);
        if (!needs_a_person && entry.failures < kFailuresTold) return;
        if (!std::exchange(entry.stats.failing, true)) {
            log::warning("AWS metrics cannot be read",
                         {{"entry", entry.config().name}, {"error", entry.stats.last_error}});
        }
        callbacks_.on_trouble(entry.config().name, entry.stats.last_error);
    }

    void finish(Entry& entry) {
        Round round = std::move(*entry.round);
        entry.round.reset();
        add_zeros(entry, round);
        const std::vector<Points> fresh = find_fresh(entry, round);
        const SampleBlock block = block_of(entry, round.window, fresh);
        if (block.sample_count() > 0) {
            const auto appended = callbacks_.append(entry.config(), entry.schema, block);
            if (!appended) return failed(entry, appended.error().context, kBackoffFirst, false);
        }
        keep(entry, round.window, fresh);
        entry.stats.samples += block.sample_count();
        ++entry.stats.rounds;
        entry.read_until_s = round.window.to_s;
        entry.stats.read_until = from_unix_ms(round.window.to_s * 1000);
        entry.pace.succeeded();
        entry.failures = 0;
        if (std::exchange(entry.stats.failing, false))
            log::notice("AWS metrics are read again", {{"entry", entry.config().name}});
        callbacks_.on_trouble(entry.config().name,
                              round.incomplete.empty() || entry.stats.metrics_forbidden == 0
                                  ? ""
                                  : entry.stats.last_error);
    }

    static void add_zeros(Entry& entry, Round& round) {
        const auto& queries = entry.config().queries;
        for (std::size_t i = 0; i < queries.size(); ++i) {
            if (!queries[i].zero_beside || round.incomplete.contains(i)) continue;
            for (const auto& [start_s, value] : round.points[*queries[i].zero_beside]) {
                if (round.points[i].contains(start_s) || entry.known[i].contains(start_s)) continue;
                round.points[i][start_s] = 0;
                ++entry.stats.zeros;
            }
        }
    }

    static std::vector<Points> find_fresh(Entry& entry, const Round& round) {
        std::vector<Points> fresh(round.points.size());
        for (std::size_t i = 0; i < round.points.size(); ++i) {
            for (const auto& [start_s, value] : round.points[i]) {
                const auto known = entry.known[i].find(start_s);
                if (known == entry.known[i].end()) {
                    fresh[i].emplace(start_s, value);
                    const bool read_before = entry.read_until_s &&
                                             start_s + round.window.period_s <= *entry.read_until_s;
                    entry.stats.samples_late += read_before ? 1 : 0;
                } else if (!same(known->second, value)) {
                    ++entry.stats.samples_revised;
                    known->second = value;
                }
            }
        }
        return fresh;
    }

    // Scaled and scaled back, a value may differ in its last bits.
    static bool same(double a, double b) {
        return std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b));
    }

    static SampleBlock block_of(const Entry& entry, const MetricDataWindow& window,
                                const std::vector<Points>& fresh) {
        std::set<std::int64_t> starts;
        for (const Points& points : fresh)
            for (const auto& [start_s, value] : points)
                starts.insert(start_s);
        SampleGroup group;
        for (const std::int64_t start_s : starts)
            group.timestamps_ms.push_back((start_s + window.period_s) * 1000);
        group.series_count = fresh.size();
        group.values.assign(fresh.size() * starts.size(), kNoValue);
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            const auto column = group.column(i);
            for (const auto& [start_s, value] : fresh[i]) {
                const auto at = std::distance(starts.begin(), starts.find(start_s));
                column[static_cast<std::size_t>(at)] = value * entry.config().queries[i].scale;
            }
        }
        SampleBlock block;
        block.groups.push_back(std::move(group));
        return block;
    }

    static void keep(Entry& entry, const MetricDataWindow& window,
                     const std::vector<Points>& fresh) {
        const std::int64_t horizon_s =
            window.to_s - seconds(entry.config().backfill + entry.config().reread);
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            for (const auto& [start_s, value] : fresh[i]) {
                entry.known[i][start_s] = value;
                entry.not_durable.emplace_back(i, start_s);
            }
            Points& known = entry.known[i];
            // The newest stays, whatever its age: the series is not one that never had any.
            while (known.size() > 1 && known.begin()->first < horizon_s)
                known.erase(known.begin());
        }
    }

    const Clock& clock_;
    Callbacks callbacks_;
    std::vector<std::unique_ptr<Entry>> entries_;
};

AwsMetricsSource::AwsMetricsSource(std::vector<AwsMetricsTarget> targets, HttpClient& http,
                                   CredentialsProvider& credentials, const Clock& clock,
                                   const Rng& rng, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(std::move(targets), http, credentials, clock, rng,
                                   std::move(callbacks))) {}

AwsMetricsSource::~AwsMetricsSource() = default;

void AwsMetricsSource::poll() {
    impl_->poll();
}
void AwsMetricsSource::on_sync_failed() {
    impl_->on_sync_failed();
}
void AwsMetricsSource::on_durable() {
    impl_->on_durable();
}
void AwsMetricsSource::on_sync_begun() {
    impl_->on_sync_begun();
}
std::map<std::string, AwsMetricsStats> AwsMetricsSource::stats() const {
    return impl_->stats();
}
const std::vector<AwsMetricsTarget>& AwsMetricsSource::targets() const {
    return impl_->targets;
}

}  // namespace ridgeline::collector
