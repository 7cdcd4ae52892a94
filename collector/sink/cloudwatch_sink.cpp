#include "collector/sink/cloudwatch_sink.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <span>
#include <utility>

#include "collector/aws/http_date.h"
#include "collector/aws/sigv4.h"
#include "collector/sink/cursor.h"
#include "collector/sink/flush_reader.h"
#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

// Signatures are good for 5 minutes either way; below 4 the difference is left alone.
constexpr auto kSkewTolerated = std::chrono::milliseconds{240'000};
constexpr std::uint32_t kWarningsPerMinute = 6;
// How long a counter may be silent and its growth still be known.
constexpr auto kCountersKept = std::chrono::hours{1};

// The settings that decide which datums come out, and where they go.
std::uint32_t fingerprint(const CloudWatchConfig& config, const CloudWatchTarget& target) {
    std::string text = "1";  // the form of the datums
    const auto add = [&](std::string_view part) { text.append("\n").append(part); };
    add(target.endpoint);
    add(target.region);
    add(config.space);
    add(std::to_string(config.period.count()));
    add(config.naming == CloudWatchNaming::cwagent ? "cwagent" : "otel");
    for (const auto* list : {&config.dimensions, &config.include, &config.exclude}) {
        add(std::to_string(list->size()));
        for (const std::string& item : *list)
            add(item);
    }
    add(shape_of(config));
    return crc32c(std::as_bytes(std::span(text)));
}

}  // namespace

class CloudWatchSink::Impl : public std::enable_shared_from_this<CloudWatchSink::Impl> {
  public:
    Impl(CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
         LogOpener log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock,
         Rng rng, const CloudWatchLimits& limits, Cursor cursor)
        : config_(std::move(config)),
          target_(std::move(target)),
          fingerprint_(fingerprint(config_, target_)),
          cursor_file_(std::move(cursor_file)),
          log_(std::move(log)),
          http_(http),
          credentials_(credentials),
          clock_(clock),
          limits_(limits),
          cursor_(std::move(cursor)),
          pace_(limits.requests_in_flight_max, limits.backoff_max, std::move(rng)) {
        stats_.flushed_until = cursor_.kept_back.begin;
    }

    void poll() {
        if (pace_.pausing(clock_.mono_now())) return;
        if (!reader_ && datums_.empty()) begin_flush();
        if (reader_) read_on();
        if (!datums_.empty()) send_next();
    }

    const CloudWatchStats& stats() const { return stats_; }
    LogPosition needed_from() const { return cursor_.read_from; }

  private:
    struct Attempt {
        DatumRange range;
        std::uint64_t samples = 0;
        std::chrono::milliseconds offset{0};  // the clock it was signed with
    };

    WallTime cutoff_now() const {
        const auto since = (clock_.wall_now() - limits_.flush_lag).time_since_epoch();
        return WallTime{since / config_.period * config_.period};
    }

    // So late in a period, its successor's first samples would be kept back now and taken by a
    // flush that comes before the successor's end: better to wait for that one.
    bool worth_flushing(WallTime cutoff) const {
        const bool late =
            config_.period > limits_.flush_lag && clock_.wall_now() >= cutoff + config_.period;
        return cutoff != cursor_.kept_back.begin && !late;
    }

    void begin_flush() {
        if (cursor_.flush) {
            flush_ = *cursor_.flush;  // begun before a restart
        } else {
            const WallTime cutoff = cutoff_now();
            if (!more_to_read_ && !worth_flushing(cutoff)) return;
            flush_ = Flush{};
            flush_.kept_back = {
                cutoff, cutoff + config_.period + limits_.flush_lag + limits_.clock_tolerance};
            flush_.started = clock_.wall_now();
            flush_.config = fingerprint_;
        }
        auto log = log_(cursor_.read_from);
        if (!log) {
            log_failed(log.error());
            return;
        }
        const FlushBounds bounds{limits_.samples_per_flush_max, limits_.datums_per_flush_max,
                                 limits_.oldest, limits_.newest, limits_.admit};
        reader_ = std::make_unique<FlushReader>(config_, cursor_, flush_, bounds, std::move(*log),
                                                counters_);
    }

    void log_failed(const Error& error) {
        reader_.reset();
        ++stats_.log_errors;
        stats_.last_error = printable(error.context, 512);
        log::debug("cloudwatch: cannot read the log", {{"error", error.context}});
        pace_.failed(clock_.mono_now(), limits_.backoff_first);
    }

    void read_on() {
        const auto whole = reader_->read(limits_.samples_per_poll_max);
        if (!whole) {
            log_failed(whole.error());
            return;
        }
        stats_.samples_pending = reader_->samples();
        if (!*whole) return;
        datums_ = reader_->take_datums();
        counters_ = reader_->take_counters();
        counters_.forget_before(flush_.started - kCountersKept);
        for (std::size_t i = 0; i < kRefusalCount; ++i)
            stats_.samples_refused[i] += reader_->refused()[i];
        flush_.end = reader_->end();
        read_next_from_ = reader_->read_next_from();
        more_to_read_ = reader_->more_to_read();
        reader_.reset();
        settle_resumed();
        if (datums_.empty()) {
            finish_flush();
            return;
        }
        // Until the first answer there is nothing to save: begun anew, the flush would hold the
        // same samples.
        const auto missing = flush_.done.missing(datums_.size());
        pending_.assign(missing.begin(), missing.end());
        searches_left_ = limits_.searches_per_flush_max;
        stats_.samples_pending = 0;
        for (const DatumRange& range : missing)
            stats_.samples_pending += samples_in(range);
        if (missing.empty()) finish_flush();
    }

    // A flush that comes out differently than before the restart (other settings, other catalog,
    // records fallen off the log) is sent whole: `done` is about other datums.
    void settle_resumed() {
        const bool resumed = cursor_.flush.has_value();
        if (resumed && (flush_.config != fingerprint_ || flush_.datums != datums_.size())) {
            ++stats_.flushes_repeated;
            flush_.done = {};
            flush_.config = fingerprint_;
        }
        flush_.datums = datums_.size();
    }

    void finish_flush() {
        cursor_.read_from = read_next_from_;
        cursor_.taken_until = flush_.end;
        cursor_.kept_back = flush_.kept_back;
        cursor_.flush.reset();
        save();
        datums_.clear();
        pending_.clear();
        ++stats_.flushes;
        stats_.samples_pending = 0;
        stats_.flushed_until = cursor_.kept_back.begin;
    }

    // A disk that takes no cursor does not hold up the data: only a crash would then repeat some.
    void save() {
        if (auto saved = save_cursor(cursor_file_, cursor_); !saved) {
            ++stats_.cursor_errors;
            stats_.last_error = printable(saved.error().context, 512);
            warnings_.write(log::Level::warning, "cloudwatch: cannot save the cursor, going on",
                            {{"error", saved.error().context}});
        }
    }

    std::uint64_t samples_in(DatumRange range) const {
        std::uint64_t sum = 0;
        for (std::size_t i = range.begin; i < range.end; ++i)
            sum += datums_[i].statistics.count();
        return sum;
    }

    // One request a call, so that building it does not hold the loop for long.
    void send_next() {
        if (pending_.empty() || stats_.requests_in_flight >= pace_.in_flight_allowed() ||
            pace_.pausing(clock_.mono_now())) {
            return;
        }
        DatumRange& front = pending_.front();
        RequestBody body =
            build_request(config_.space, std::span(datums_).subspan(front.begin, front.size()),
                          config_.period, limits_.request);
        Attempt attempt;
        attempt.range = {front.begin, front.begin + body.datum_count};
        attempt.samples = samples_in(attempt.range);
        front.begin = attempt.range.end;
        if (front.begin == front.end) pending_.pop_front();
        ++stats_.requests_in_flight;
        credentials_.fetch([weak = weak_from_this(), attempt, json = std::move(body.json)](
                               const Result<AwsCredentials>& credentials) {
            if (const auto self = weak.lock()) self->sign_and_send(attempt, json, credentials);
        });
    }

    void sign_and_send(Attempt attempt, const std::string& json,
                       const Result<AwsCredentials>& credentials) {
        if (!credentials) {
            ++stats_.credential_errors;
            put_back(attempt, credentials.error().context, limits_.throttle_first);
            return;
        }
        HttpRequest request = put_metric_data(target_.endpoint, json, limits_.request);
        request.timeout = limits_.request_timeout;
        attempt.offset = stats_.clock_offset;
        const auto signed_ = sign_request(request, *credentials, {target_.region, "monitoring"},
                                          clock_.wall_now() + attempt.offset);
        if (!signed_) {
            put_back(attempt, signed_.error().context, limits_.denied_pause);
            return;
        }
        stats_.bytes_sent += request.body.size();
        http_.send(std::move(request), [weak = weak_from_this(), attempt](auto response) {
            if (const auto self = weak.lock()) self->answered(attempt, response);
        });
    }

    // Nothing was said about the attempt's datums: they go to the front of the queue, and all
    // wait.
    void put_back(const Attempt& attempt, const std::string& why, std::chrono::milliseconds first) {
        --stats_.requests_in_flight;
        requeue(attempt.range);
        stats_.last_error = printable(why, 512);
        warnings_.write(log::Level::warning, "cloudwatch: request failed, will be repeated",
                        {{"error", why}, {"datums", attempt.range.size()}});
        pace_.failed(clock_.mono_now(), first);
    }

    void requeue(DatumRange range) {
        if (range.size() > 0) pending_.push_front(range);
    }

    void answered(const Attempt& attempt, const Result<HttpResponse>& response) {
        if (!response) {
            ++stats_.request_errors;
            put_back(attempt, response.error().context, limits_.backoff_first);
            return;
        }
        note_server_time(*response);
        const Answer answer = classify_answer(*response);
        ++stats_.answers[static_cast<std::size_t>(answer.answer_class)];
        if (answer.answer_class == AnswerClass::ok) {
            pace_.succeeded();
            stats_.datums_sent += attempt.range.size();
            stats_.samples_sent += attempt.samples;
            --stats_.requests_in_flight;
            settle(attempt.range);
        } else {
            refused(attempt, answer);
        }
        poll();
    }

    void note_server_time(const HttpResponse& response) {
        const std::string* date = response.header("date");
        const auto server = date == nullptr ? std::nullopt : parse_http_date(*date);
        if (!server) return;
        const auto off =
            std::chrono::duration_cast<std::chrono::milliseconds>(*server - clock_.wall_now());
        stats_.clock_offset =
            std::chrono::abs(off) > kSkewTolerated ? off : std::chrono::milliseconds{0};
    }

    void refused(const Attempt& attempt, const Answer& answer) {
        const std::string why = answer.code.empty() ? "HTTP status " + std::to_string(answer.status)
                                                    : answer.code + ": " + answer.message;
        switch (answer.answer_class) {
            case AnswerClass::ok:
                break;
            case AnswerClass::throttled:
                pace_.throttled();
                put_back(attempt, why, limits_.throttle_first);
                break;
            case AnswerClass::transient:
                put_back(attempt, why, limits_.backoff_first);
                break;
            case AnswerClass::credentials:
                credentials_.invalidate();
                put_back(attempt, why, limits_.backoff_first);
                break;
            case AnswerClass::clock_skew:
                if (std::chrono::abs(stats_.clock_offset - attempt.offset) > kSkewTolerated / 2) {
                    // Signed by a clock now known to be wrong: the right one can go at once.
                    put_back(attempt, why, std::chrono::milliseconds{0});
                    break;
                }
                [[fallthrough]];
            case AnswerClass::denied:
                credentials_.invalidate();
                put_back(attempt, why, limits_.denied_pause);
                break;
            case AnswerClass::too_large:
            case AnswerClass::permanent:
                search(attempt, answer, why);
                break;
        }
    }

    // Something in this request is wrong. Sent apart, the datum at fault is found and the rest
    // arrives.
    void search(const Attempt& attempt, const Answer& answer, const std::string& why) {
        --stats_.requests_in_flight;
        stats_.last_error = why;
        const DatumRange range = attempt.range;
        if (range.size() == 1 || searches_left_ == 0) {
            stats_.samples_refused[static_cast<std::size_t>(Refusal::refused_by_aws)] +=
                attempt.samples;
            warnings_.write(log::Level::warning, "cloudwatch: refused for good, left out",
                            {{"error", why},
                             {"metric", datums_[range.begin].metric.name},
                             {"datums", range.size()}});
            settle(range);
            return;
        }
        --searches_left_;
        const auto member = refused_member(answer);
        if (member && *member <= range.size()) {
            const std::size_t at = range.begin + *member - 1;
            requeue({at + 1, range.end});
            requeue({range.begin, at});
            requeue({at, at + 1});
        } else {
            const std::size_t middle = range.begin + range.size() / 2;
            requeue({middle, range.end});
            requeue({range.begin, middle});
        }
    }

    // These datums are dealt with, for good.
    void settle(DatumRange range) {
        stats_.samples_pending -= samples_in(range);
        flush_.done.add(range);
        if (flush_.done.count() == datums_.size()) {
            finish_flush();
        } else {
            cursor_.flush = flush_;
            save();
        }
    }

    CloudWatchConfig config_;
    CloudWatchTarget target_;
    std::uint32_t fingerprint_;
    std::filesystem::path cursor_file_;
    LogOpener log_;
    HttpClient& http_;
    CredentialsProvider& credentials_;
    const Clock& clock_;
    CloudWatchLimits limits_;

    Cursor cursor_;
    CounterBook counters_;                 // as the flush before left them
    Flush flush_;                          // the one at work
    std::unique_ptr<FlushReader> reader_;  // while it is read
    std::vector<Datum> datums_;            // while it is sent
    std::deque<DatumRange> pending_;       // neither in flight nor done
    LogPosition read_next_from_ = 0;
    bool more_to_read_ = false;
    std::size_t searches_left_ = 0;

    Pace pace_;
    CloudWatchStats stats_;
    log::RateLimit warnings_{kWarningsPerMinute};
};

CloudWatchSink::CloudWatchSink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
CloudWatchSink::~CloudWatchSink() = default;

Result<std::unique_ptr<CloudWatchSink>> CloudWatchSink::open(
    CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
    LogOpener log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock, Rng rng,
    CloudWatchLimits limits) {
    RL_ASSIGN_OR_RETURN(Cursor cursor, load_cursor(cursor_file));
    auto impl = std::make_shared<Impl>(std::move(config), std::move(target), std::move(cursor_file),
                                       std::move(log), http, credentials, clock, std::move(rng),
                                       limits, std::move(cursor));
    return std::unique_ptr<CloudWatchSink>(new CloudWatchSink(std::move(impl)));
}

void CloudWatchSink::poll() {
    impl_->poll();
}

const CloudWatchStats& CloudWatchSink::stats() const {
    return impl_->stats();
}

LogPosition CloudWatchSink::needed_from() const {
    return impl_->needed_from();
}

}  // namespace ridgeline::collector
