#include "collector/sink/cloudwatch_sink.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "collector/aws/http_date.h"
#include "collector/aws/sigv4.h"
#include "collector/sink/cursor.h"
#include "collector/sink/jobs.h"
#include "collector/sink/read_back.h"
#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// Signatures are good for 5 minutes either way; below 4 the difference is left alone.
constexpr auto kSkewTolerated = std::chrono::milliseconds{240'000};
// Our clock was set when it moves by more against the monotonic one.
constexpr auto kClockStep = 1s;
constexpr std::uint32_t kWarningsPerMinute = 6;
// A log that is never read to its end does not hold up a flush for longer.
constexpr auto kCatchUp = 10s;
// After a 413, requests are no smaller than this, and grow back by so much with each success.
constexpr std::size_t kRequestBytesLeast = 16'384;
constexpr double kRequestGrowth = 1.05;

// The settings that decide which datums come out, and where they go.
std::uint32_t fingerprint(const CloudWatchConfig& config, const CloudWatchTarget& target) {
    std::string text = "2";  // the form of the datums
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

std::string new_writer(const Rng& rng) {
    char text[16];
    std::snprintf(text, sizeof text, "%08x", static_cast<std::uint32_t>(rng() * 4'294'967'296.0));
    return text;
}

std::string words_of(const Answer& answer) {
    return answer.code.empty() ? "HTTP status " + std::to_string(answer.status)
                               : answer.code + ": " + answer.message;
}

}  // namespace

std::string_view to_string(LostAnswer outcome) {
    switch (outcome) {
        case LostAnswer::confirmed:
            return "confirmed";
        case LostAnswer::sent_again:
            return "sent_again";
        case LostAnswer::unverified:
            return "unverified";
        case LostAnswer::resent:
            return "resent";
        case LostAnswer::dropped:
            return "dropped";
    }
    return "";
}

class CloudWatchSink::Impl : public std::enable_shared_from_this<CloudWatchSink::Impl> {
  public:
    Impl(CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
         LogAccess log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock,
         Rng rng, const CloudWatchLimits& limits, Cursor cursor)
        : config_(std::move(config)),
          target_(std::move(target)),
          fingerprint_(fingerprint(config_, target_)),
          cursor_file_(std::move(cursor_file)),
          http_(http),
          credentials_(credentials),
          clock_(clock),
          limits_(limits),
          writer_(cursor.writer.empty() ? new_writer(rng) : cursor.writer),
          markers_(first_marker(cursor)),
          jobs_(with_gap(cursor, log.durable(), limits)),
          tail_(config_, limits_.admit, log.open, cursor.tail),
          stretches_(config_, limits_.admit, log.open),
          pace_(limits.requests_in_flight_max, limits.backoff_max, std::move(rng)),
          rate_(limits.requests_per_second_max),
          backlog_rate_(limits.backlog_requests_per_second),
          request_bytes_(limits.request.bytes_max),
          opened_at_(clock.mono_now()) {
        jobs_.set_searches(limits_.searches_max);
        stats_.flushed_until = cursor.tail.kept_back.begin;
        for (const Doubtful& doubt : jobs_.doubtful())
            if (config_.on_ambiguous != OnAmbiguous::verify) lost(doubt.job, doubt.request);
    }

    void poll() {
        forget_stale_offset();
        read_tail();
        flush_when_due();
        load_backlog();
        read_back_when_due();
        send_next();
    }

    void finish() { finishing_ = true; }

    bool finished() const {
        if (!finishing_ || !flushed_last_ || stats_.requests_in_flight > 0) return false;
        const auto& jobs = jobs_.all();
        return failing_ || std::none_of(jobs.begin(), jobs.end(),
                                        [](const JobPtr& job) { return job->has_live(); });
    }

    const CloudWatchStats& stats() {
        update_stats();
        return stats_;
    }
    LogPosition needed_from() const {
        LogPosition from = tail_.tail().read_from;
        for (const JobPtr& job : jobs_.all())
            from = std::min(from, job->work.stretch.read_from);
        return from;
    }

  private:
    struct Attempt {
        JobPtr job;
        SentRequest request;
        std::uint64_t samples = 0;
        std::size_t bytes = 0;
        bool late = false;
        MonoTime sent_at{};
        std::chrono::milliseconds offset{0};  // the clock it was signed with
    };

    // One that was given out after the cursor was last saved must not be given out again.
    MarkerBook first_marker(const Cursor& cursor) const {
        if (cursor.writer.empty()) return MarkerBook();
        const std::int64_t minute = to_unix_ms(clock_.wall_now()) / 60'000;
        const Marker now{minute * 60 + 59, kMarkerSlots - 1};
        return MarkerBook(std::max(cursor.last_marker.value_or(now), now));
    }

    // What a pause has left in the log does not hold up what comes now.
    static std::vector<Work> with_gap(Cursor& cursor, LogPosition durable,
                                      const CloudWatchLimits& limits) {
        Tail& tail = cursor.tail;
        if (durable > tail.taken_until + limits.bytes_behind_max) {
            Work gap;
            gap.stretch = {tail.read_from, tail.taken_until, tail.kept_back, durable,
                           durable,        KeptBack{},       false};
            cursor.work.push_back(gap);
            tail = {durable, durable, KeptBack{}};
        }
        return cursor.work;
    }

    WallTime wall_now() const { return clock_.wall_now() + stats_.clock_offset; }

    std::chrono::milliseconds interval() const {
        return std::max(config_.period, limits_.flush_interval_min);
    }

    WallTime cutoff_at(WallTime time) const {
        const auto since = (time - limits_.flush_lag).time_since_epoch();
        return WallTime{since / interval() * interval()};
    }

    // Whole periods, and as far as an honest clock can be.
    KeptBack kept_after(WallTime cutoff) const {
        const auto ahead = interval() + limits_.flush_lag + limits_.clock_tolerance;
        return {cutoff, cutoff + (ahead + config_.period - 1ms) / config_.period * config_.period};
    }

    // So late in a period, its successor's first samples would be kept back now and taken by a
    // flush that comes before the successor's end: better to wait for that one.
    bool worth_flushing(WallTime cutoff) const {
        const bool late = interval() > limits_.flush_lag && wall_now() >= cutoff + interval();
        return cutoff != tail_.tail().kept_back.begin && !late;
    }

    void read_tail() {
        // As much as may be unsent is in memory or in the cursor: the rest waits in the log.
        if (jobs_.all().size() >= limits_.jobs_max || clock_.mono_now() < log_again_at_) return;
        const auto whole = tail_.read(limits_.samples_per_poll_max);
        count_refused(tail_.take_refused());
        stats_.log_bytes_lost += tail_.take_bytes_fell_off();
        if (!whole) return log_failed(whole.error());
        caught_up_ = *whole;
    }

    void log_failed(const Error& error) {
        ++stats_.log_errors;
        stats_.last_error = printable(error.context, 512);
        log::debug("cloudwatch: cannot read the log", {{"error", error.context}});
        log_again_at_ = clock_.mono_now() + limits_.backoff_first;
        caught_up_ = false;
    }

    void count_refused(const RefusalCounts& refused) {
        for (std::size_t i = 0; i < kRefusalCount; ++i)
            stats_.samples_refused[i] += refused[i];
    }

    void flush_when_due() {
        const MonoTime now = clock_.mono_now();
        if (finishing_) {
            if (!flushed_last_ && caught_up_) {
                flushed_last_ = true;
                flush(KeptBack{});
            }
            return;
        }
        const WallTime cutoff = cutoff_at(wall_now());
        const bool full = tail_.datum_count() >= limits_.datums_per_flush_max;
        const bool rest = rest_due_ && caught_up_;
        if (!full && !rest && !worth_flushing(cutoff)) {
            due_since_.reset();
            return;
        }
        if (!due_since_) due_since_ = now;
        if (!full && !caught_up_ && now - *due_since_ < kCatchUp) return;
        rest_due_ = !caught_up_;
        flush(kept_after(cutoff));
    }

    void flush(const KeptBack& kept) {
        due_since_.reset();
        TailReader::Flush flush = tail_.flush(kept);
        if (flush.datums.empty()) {
            // Nothing to send is sent at once, unless something is left of before.
            if (jobs_.all().empty()) stats_.flushed_until = kept.begin;
            save();
            return;
        }
        const std::size_t live = order_datums(flush.datums, flush.stretch, config_.period);
        const JobPtr job =
            jobs_.add({flush.stretch, true, std::nullopt}, std::move(flush.datums), live);
        job->flushed_until = kept.begin;
        jobs_.unload_beyond(limits_.datums_in_memory_max);
        save();
    }

    // One stretch at a time, the oldest first, while AWS takes what it is sent.
    void load_backlog() {
        if (!loading_) {
            const MonoTime now = clock_.mono_now();
            if (failing_ || finishing_ || now < log_again_at_ || !caught_up_) return;
            const auto& jobs = jobs_.all();
            for (const JobPtr& job : jobs)
                if (job->has_pending() && !job->has_live()) return;  // there is some to send
            const auto next = std::find_if(jobs.begin(), jobs.end(),
                                           [](const JobPtr& job) { return job->needs_loading(); });
            if (next == jobs.end()) return;
            loading_ = *next;
            loading_->loading = true;
            stretches_.begin(loading_->work.stretch, loading_->work.progress.has_value(),
                             {limits_.samples_per_flush_max, limits_.datums_per_flush_max,
                              [this](WallTime at) { return kept_after(cutoff_at(at)); }});
        }
        const auto whole = stretches_.read(limits_.samples_per_poll_max);
        if (!whole) {
            std::exchange(loading_, nullptr)->loading = false;
            return log_failed(whole.error());
        }
        if (!*whole) return;
        const JobPtr job = std::exchange(loading_, nullptr);
        if (!job->work.counted) {
            count_refused(stretches_.refused());
        }
        stats_.log_bytes_lost += stretches_.bytes_fell_off();
        std::vector<Datum> datums = stretches_.take_datums();
        // By what it will be called if it has to be read once more.
        Stretch rest = job->work.stretch;
        const Stretch stretch = stretches_.cut() ? cut_front(rest, *stretches_.cut()) : rest;
        order_datums(datums, stretch, config_.period);
        if (!jobs_.load(job, stretches_.cut(), std::move(datums), 0, fingerprint_))
            ++stats_.flushes_repeated;
        save();
    }

    // A disk that takes no cursor does not hold up the data: only a crash would then repeat some.
    void save() {
        unsaved_ = false;
        const Cursor cursor{writer_, markers_.last(), tail_.tail(), jobs_.work()};
        if (auto saved = save_cursor(cursor_file_, cursor); !saved) {
            ++stats_.cursor_errors;
            stats_.last_error = printable(saved.error().context, 512);
            warnings_.write(log::Level::warning, "cloudwatch: cannot save the cursor, going on",
                            {{"error", saved.error().context}});
        }
    }

    bool may_send_now() const {
        return stats_.requests_in_flight < pace_.in_flight_allowed() &&
               !pace_.pausing(clock_.mono_now()) && !asking_first_ &&
               jobs_.doubtful().size() < limits_.doubtful_max;
    }

    // The newest live data first; the backlog, oldest first, when there are none and its rate
    // allows.
    JobPtr next_job(MonoTime now) {
        const auto& jobs = jobs_.all();
        const auto live = std::find_if(jobs.rbegin(), jobs.rend(),
                                       [](const JobPtr& job) { return job->has_live(); });
        if (live != jobs.rend()) return *live;
        if (!backlog_rate_.may_send(now)) return nullptr;
        const auto late = std::find_if(jobs.begin(), jobs.end(),
                                       [](const JobPtr& job) { return job->has_pending(); });
        return late != jobs.end() ? *late : nullptr;
    }

    std::optional<Refusal> out_of_bounds(const Datum& datum) const {
        if (datum.timestamp < wall_now() - limits_.oldest) return Refusal::too_old;
        if (datum.timestamp > wall_now() + limits_.newest) return Refusal::too_new;
        return std::nullopt;
    }

    // What AWS would refuse for its time, at the front, is counted and passed over. False: the job
    // is done.
    bool pass_over_out_of_bounds(const JobPtr& job) {
        while (job->has_pending()) {
            DatumRange& front = job->pending.front();
            const auto refusal = out_of_bounds(job->datums[front.begin]);
            if (!refusal) return true;
            DatumRange range{front.begin, front.begin};
            while (range.end < front.end && out_of_bounds(job->datums[range.end]) == refusal)
                ++range.end;
            stats_.samples_refused[static_cast<std::size_t>(*refusal)] += job->samples_in(range);
            front.begin = range.end;
            if (front.begin == front.end) job->pending.pop_front();
            if (jobs_.settle(job, range, fingerprint_)) {
                job_done(job);
                return false;
            }
        }
        return false;
    }

    // One request a call, so that building it does not hold the loop for long.
    void send_next() {
        const MonoTime now = clock_.mono_now();
        if (!may_send_now() || !rate_.may_send(now)) return;
        const JobPtr job = next_job(now);
        if (!job || !pass_over_out_of_bounds(job)) return;
        const DatumRange front = job->pending.front();
        std::size_t most = std::min(front.size(), limits_.request.datums_max);
        for (std::size_t i = 0; i < most; ++i)
            if (out_of_bounds(job->datums[front.begin + i])) most = i;

        Attempt attempt;
        attempt.job = job;
        // The budget may refuse it, like any metric.
        const bool marked = config_.on_ambiguous == OnAmbiguous::verify &&
                            (!limits_.admit || limits_.admit(marker_metric(writer_)));
        attempt.request.marker = marked ? markers_.next(wall_now()) : no_marker(++unmarked_);
        attempt.request.sent_at = wall_now();
        attempt.sent_at = now;
        RequestLimits limits = limits_.request;
        limits.bytes_max = request_bytes_;
        const std::string marker =
            marked ? marker_json(attempt.request.marker, writer_) : std::string();
        RequestBody body =
            build_request(config_.space, std::span(job->datums).subspan(front.begin, most),
                          config_.period, limits, marker);
        attempt.request.range = {front.begin, front.begin + body.datum_count};
        attempt.samples = job->samples_in(attempt.request.range);
        attempt.bytes = body.json.size();
        attempt.late = !job->has_live();
        jobs_.begin(job, attempt.request, fingerprint_);
        save();
        rate_.sent();
        if (attempt.late) backlog_rate_.sent();
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

    // It has not arrived: its datums go to the front of the queue, and all wait.
    void put_back(const Attempt& attempt, const std::string& why, std::chrono::milliseconds first) {
        --stats_.requests_in_flight;
        jobs_.put_back(attempt.job, attempt.request);
        failed(why, attempt.request.range.size(), first);
    }

    void failed(const std::string& why, std::size_t datums, std::chrono::milliseconds first) {
        failing_ = true;
        stats_.last_error = printable(why, 512);
        warnings_.write(log::Level::warning, "cloudwatch: request failed, will be repeated",
                        {{"error", why}, {"datums", datums}});
        pace_.failed(clock_.mono_now(), first);
    }

    void answered(const Attempt& attempt, const Result<HttpResponse>& response) {
        if (!response) {
            ++stats_.request_errors;
            if (response.error().sys_errno == ENOTCONN) {
                put_back(attempt, response.error().context, limits_.backoff_first);
                return;
            }
            --stats_.requests_in_flight;
            failed(response.error().context, attempt.request.range.size(), limits_.backoff_first);
            lost(attempt);
            // A question does no harm when its answer is lost as well.
            asking_first_ = !jobs_.doubtful().empty();
            return;
        }
        const Answer answer = classify_answer(*response);
        note_server_time(*response, answer);
        ++stats_.answers[static_cast<std::size_t>(answer.answer_class)];
        if (answer.answer_class == AnswerClass::ok) {
            --stats_.requests_in_flight;
            succeeded(attempt);
        } else {
            refused(attempt, answer);
        }
        unsaved_ = true;
        poll();
        // Unless the next request has done so.
        if (unsaved_) save();
    }

    void succeeded(const Attempt& attempt) {
        failing_ = false;
        pace_.succeeded();
        rate_.succeeded();
        if (attempt.late) backlog_rate_.succeeded();
        request_bytes_ =
            std::min(static_cast<std::size_t>(static_cast<double>(request_bytes_) * kRequestGrowth),
                     limits_.request.bytes_max);
        count_sent(attempt.request.range.size(), attempt.samples, attempt.late);
        if (jobs_.settle(attempt.job, attempt.request)) job_done(attempt.job);
    }

    void count_sent(std::size_t datums, std::uint64_t samples, bool late) {
        stats_.datums_sent += datums;
        stats_.samples_sent += samples;
        if (late) stats_.backlog_datums_sent += datums;
    }

    void job_done(const JobPtr& job) {
        ++stats_.flushes;
        stats_.flushed_until = std::max(stats_.flushed_until, job->flushed_until);
        save();
    }

    MonoTime::duration clock_base() const {
        return clock_.wall_now().time_since_epoch() - clock_.mono_now().time_since_epoch();
    }

    // Once our clock has been set, what it was off by is not known. Nothing might go out to learn
    // it from, for what is out of AWS's window by a wrong clock is never sent.
    void forget_stale_offset() {
        if (stats_.clock_offset == 0ms) return;
        if (std::chrono::abs(clock_base() - offset_base_) > kClockStep) stats_.clock_offset = 0ms;
    }

    // Only AWS's own time counts, not that of a proxy that answers in its place.
    void note_server_time(const HttpResponse& response, const Answer& answer) {
        if (answer.code.empty() && response.header("x-amzn-requestid") == nullptr) return;
        const std::string* date = response.header("date");
        const auto server = date == nullptr ? std::nullopt : parse_http_date(*date);
        if (!server) return;
        const auto off =
            std::chrono::duration_cast<std::chrono::milliseconds>(*server - clock_.wall_now());
        stats_.clock_offset =
            std::chrono::abs(off) > kSkewTolerated ? off : std::chrono::milliseconds{0};
        offset_base_ = clock_base();
    }

    void refused(const Attempt& attempt, const Answer& answer) {
        const std::string why = words_of(answer);
        switch (answer.answer_class) {
            case AnswerClass::ok:
                break;
            case AnswerClass::throttled:
                if (!pace_.pausing(clock_.mono_now())) {  // once for all that fail together
                    rate_.throttled();
                    backlog_rate_.throttled();
                }
                pace_.throttled(clock_.mono_now());
                put_back(attempt, why, limits_.throttle_first);
                break;
            case AnswerClass::transient:
                if (may_have_been_done(answer)) {
                    --stats_.requests_in_flight;
                    failed(why, attempt.request.range.size(), limits_.backoff_first);
                    lost(attempt);
                } else {
                    put_back(attempt, why, limits_.backoff_first);
                }
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
                // From now on smaller ones, for a while.
                request_bytes_ =
                    std::clamp(attempt.bytes / 2, kRequestBytesLeast, limits_.request.bytes_max);
                search(attempt, answer, why);
                break;
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
        Job& job = *attempt.job;
        const DatumRange range = attempt.request.range;
        const bool too_large = answer.answer_class == AnswerClass::too_large;
        if (range.size() == 1 || (!too_large && job.searches_left == 0)) {
            stats_.samples_refused[static_cast<std::size_t>(Refusal::refused_by_aws)] +=
                attempt.samples;
            warnings_.write(log::Level::warning, "cloudwatch: refused for good, left out",
                            {{"error", why},
                             {"metric", job.datums[range.begin].metric->name},
                             {"datums", range.size()}});
            if (jobs_.settle(attempt.job, attempt.request)) job_done(attempt.job);
            return;
        }
        jobs_.forget(attempt.job, attempt.request);
        if (!too_large) --job.searches_left;
        const auto member = refused_member(answer);
        if (!too_large && member && *member <= range.size()) {
            const std::size_t at = range.begin + *member - 1;
            Jobs::requeue(attempt.job, {at + 1, range.end});
            Jobs::requeue(attempt.job, {range.begin, at});
            Jobs::requeue(attempt.job, {at, at + 1});
        } else {
            const std::size_t middle = range.begin + range.size() / 2;
            Jobs::requeue(attempt.job, {middle, range.end});
            Jobs::requeue(attempt.job, {range.begin, middle});
        }
    }

    bool read_back_denied() const { return clock_.mono_now() < read_back_denied_until_; }

    void lost(const Attempt& attempt) {
        if (config_.on_ambiguous == OnAmbiguous::verify)
            doubted_.insert_or_assign(attempt.request.marker, attempt.sent_at);
        lost(attempt.job, attempt.request);
    }

    // The request may have arrived, or not.
    void lost(const JobPtr& job, const SentRequest& request) {
        switch (config_.on_ambiguous) {
            case OnAmbiguous::verify:
                if (read_back_denied() || request.marker.second < 0)
                    return resolve(job, request, LostAnswer::unverified);
                jobs_.doubt(job, request);
                next_read_back_ =
                    std::max(next_read_back_, clock_.mono_now() + limits_.read_back_first);
                return;
            case OnAmbiguous::resend:
                return resolve(job, request, LostAnswer::resent);
            case OnAmbiguous::drop:
                return resolve(job, request, LostAnswer::dropped);
        }
    }

    void resolve(const JobPtr& job, const SentRequest& request, LostAnswer outcome) {
        ++stats_.lost_answers[static_cast<std::size_t>(outcome)];
        doubted_.erase(request.marker);
        const std::uint64_t samples = job->samples_in(request.range);
        bool done = false;
        switch (outcome) {
            case LostAnswer::confirmed:
                count_sent(request.range.size(), samples, request.range.begin >= job->live);
                done = jobs_.settle(job, request);
                break;
            case LostAnswer::dropped:
                stats_.samples_dropped += samples;
                done = jobs_.settle(job, request);
                break;
            case LostAnswer::sent_again:
            case LostAnswer::unverified:
            case LostAnswer::resent:
                jobs_.put_back(job, request);
                break;
        }
        if (done) {
            job_done(job);
        } else {
            save();
        }
    }

    void read_back_when_due() {
        const MonoTime now = clock_.mono_now();
        if (reading_back_ || now < next_read_back_ || pace_.pausing(now)) return;
        if (config_.on_ambiguous != OnAmbiguous::verify) return;
        std::optional<ReadBackQuery> query;
        for (;;) {
            const std::vector<Doubtful> doubtful = jobs_.doubtful();
            if (doubtful.empty()) {
                asking_first_ = false;
                return;
            }
            std::vector<Marker> markers;
            for (const Doubtful& doubt : doubtful)
                markers.push_back(doubt.request.marker);
            query = read_back_query(markers, wall_now());
            if (query) break;
            const auto oldest = std::min_element(doubtful.begin(), doubtful.end(),
                                                 [](const Doubtful& a, const Doubtful& b) {
                                                     return a.request.marker < b.request.marker;
                                                 });
            resolve(oldest->job, oldest->request, LostAnswer::unverified);
        }
        reading_back_ = true;
        ++stats_.read_backs;
        credentials_.fetch([weak = weak_from_this(), query = *query](const auto& credentials) {
            if (const auto self = weak.lock()) self->ask(query, credentials);
        });
    }

    void ask(const ReadBackQuery& query, const Result<AwsCredentials>& credentials) {
        if (!credentials) {
            ++stats_.credential_errors;
            return not_read_back(credentials.error().context, limits_.throttle_first);
        }
        HttpRequest request =
            cloudwatch_request(target_.endpoint, "GetMetricStatistics",
                               read_back_json(query, config_.space, writer_), limits_.request);
        request.timeout = limits_.request_timeout;
        const auto offset = stats_.clock_offset;
        const auto signed_ = sign_request(request, *credentials, {target_.region, "monitoring"},
                                          clock_.wall_now() + offset);
        if (!signed_) return not_read_back(signed_.error().context, limits_.denied_pause);
        http_.send(std::move(request),
                   [weak = weak_from_this(), query, asked_at = clock_.mono_now(),
                    offset](const Result<HttpResponse>& response) {
                       if (const auto self = weak.lock()) {
                           self->read_back(query, asked_at, offset, response);
                           self->poll();
                       }
                   });
    }

    void not_read_back(const std::string& why, std::chrono::milliseconds first) {
        reading_back_ = false;
        ++stats_.read_back_errors;
        failed(why, 0, first);
    }

    void read_back(const ReadBackQuery& query, MonoTime asked_at, std::chrono::milliseconds offset,
                   const Result<HttpResponse>& response) {
        if (!response) return not_read_back(response.error().context, limits_.backoff_first);
        const Answer answer = classify_answer(*response);
        note_server_time(*response, answer);
        const std::string why = words_of(answer);
        switch (answer.answer_class) {
            case AnswerClass::ok:
                break;
            case AnswerClass::throttled:
                return not_read_back(why, limits_.throttle_first);
            case AnswerClass::transient:
                return not_read_back(why, limits_.backoff_first);
            case AnswerClass::credentials:
                credentials_.invalidate();
                return not_read_back(why, limits_.backoff_first);
            case AnswerClass::clock_skew:
                if (offset != stats_.clock_offset) return not_read_back(why, 0ms);
                return not_read_back(why, limits_.denied_pause);
            case AnswerClass::denied:
                // Wrong keys and proxies are no word on this question.
                if (!forbids_operation(answer)) {
                    credentials_.invalidate();
                    return not_read_back(why, limits_.denied_pause);
                }
                return read_back_refused(why);
            case AnswerClass::too_large:
            case AnswerClass::permanent:
                return read_back_refused(why);
        }
        const auto seen = ReadBackAnswer::parse(response->body, query);
        if (!seen) return read_back_refused(seen.error().context);
        reading_back_ = false;
        asking_first_ = false;
        failing_ = false;
        pace_.succeeded();
        settle_doubts(*seen, query, asked_at);
    }

    // How long ago it was sent. A clock that is set in between does not change what this run knows.
    std::chrono::milliseconds age_of(const SentRequest& request, MonoTime now) const {
        const auto doubted = doubted_.find(request.marker);
        const auto age =
            doubted != doubted_.end()
                ? now - doubted->second
                : std::max<MonoTime::duration>(wall_now() - request.sent_at, now - opened_at_);
        return std::chrono::duration_cast<std::chrono::milliseconds>(age);
    }

    void settle_doubts(const ReadBackAnswer& seen, const ReadBackQuery& query, MonoTime asked_at) {
        std::chrono::milliseconds youngest = limits_.read_back_later;
        for (const Doubtful& doubt : jobs_.doubtful()) {
            const auto age = age_of(doubt.request, asked_at);
            switch (seen.arrival_of(doubt.request.marker)) {
                case Arrival::arrived:
                    resolve(doubt.job, doubt.request, LostAnswer::confirmed);
                    break;
                case Arrival::absent:
                    if (age >= config_.read_back_wait) {
                        resolve(doubt.job, doubt.request, LostAnswer::sent_again);
                    } else {
                        youngest = std::min(youngest, age / 2);
                        youngest = std::min(youngest, config_.read_back_wait - age);
                    }
                    break;
                case Arrival::unknown:
                    // Asked for, and it cannot be told from others of its minute.
                    if (query.by_minute && doubt.request.marker.second < query.to_s)
                        resolve(doubt.job, doubt.request, LostAnswer::unverified);
                    break;
            }
        }
        next_read_back_ = clock_.mono_now() + std::max(youngest, limits_.read_back_first);
    }

    // It will not be answered: nothing is lost, but sums and counts may double.
    void read_back_refused(const std::string& why) {
        reading_back_ = false;
        asking_first_ = false;
        ++stats_.read_back_errors;
        stats_.last_error = printable(
            why +
                ". Allow cloudwatch:GetMetricStatistics in the IAM policy of its keys: a request "
                "whose answer was lost is sent again without knowing whether it had arrived",
            512);
        warnings_.write(log::Level::warning, "cloudwatch: lost answers cannot be read back",
                        {{"error", stats_.last_error}});
        read_back_denied_until_ = clock_.mono_now() + limits_.read_back_denied_pause;
        for (const Doubtful& doubt : jobs_.doubtful())
            resolve(doubt.job, doubt.request, LostAnswer::unverified);
    }

    void update_stats() {
        stats_.samples_pending = 0;
        for (const JobPtr& job : jobs_.all())
            for (const DatumRange& range : job->pending)
                stats_.samples_pending += job->samples_in(range);
        stats_.backlog_bytes = jobs_.bytes_of_log();
        stats_.stretches = jobs_.all().size();
        stats_.doubtful = jobs_.doubtful().size();
    }

    CloudWatchConfig config_;
    CloudWatchTarget target_;
    std::uint32_t fingerprint_;
    std::filesystem::path cursor_file_;
    HttpClient& http_;
    CredentialsProvider& credentials_;
    const Clock& clock_;
    CloudWatchLimits limits_;

    std::string writer_;
    MarkerBook markers_;
    std::int64_t unmarked_ = 0;  // requests that carried none
    Jobs jobs_;
    TailReader tail_;
    bool caught_up_ = false;  // all that is durable was read
    std::optional<MonoTime> due_since_;
    bool rest_due_ = false;  // a flush came before all was read
    StretchReader stretches_;
    JobPtr loading_;  // what stretches_ is at
    MonoTime log_again_at_{};

    Pace pace_;
    RequestRate rate_;
    RequestRate backlog_rate_;
    std::size_t request_bytes_;  // limits_.request.bytes_max, or less after a 413
    bool failing_ = false;       // the last request was not taken
    bool asking_first_ = false;  // an answer was lost: read-backs go before all else
    bool reading_back_ = false;
    bool unsaved_ = false;  // the cursor does not say what was answered
    MonoTime next_read_back_{};
    MonoTime opened_at_;
    std::map<Marker, MonoTime> doubted_;  // when they were sent, those of this run
    MonoTime::duration offset_base_{};  // our clock minus the monotonic one, at clock_offset's time
    MonoTime read_back_denied_until_{};
    bool finishing_ = false;
    bool flushed_last_ = false;
    CloudWatchStats stats_;
    log::RateLimit warnings_{kWarningsPerMinute};
};

CloudWatchSink::CloudWatchSink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
CloudWatchSink::~CloudWatchSink() = default;

Result<std::unique_ptr<CloudWatchSink>> CloudWatchSink::open(
    CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
    LogAccess log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock, Rng rng,
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

void CloudWatchSink::finish() {
    impl_->finish();
}

bool CloudWatchSink::finished() const {
    return impl_->finished();
}

const CloudWatchStats& CloudWatchSink::stats() const {
    return impl_->stats();
}

LogPosition CloudWatchSink::needed_from() const {
    return impl_->needed_from();
}

}  // namespace ridgeline::collector
