#include "agent/sampler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/units.h"
#include "common/log/log.h"

namespace ridgeline::agent {

using std::chrono::milliseconds;

Sampler::Sampler(net::Loop& loop, const Clock& clock,
                 std::function<void(std::size_t, Source&, const SampleInstant&)> on_round,
                 std::function<void()> after_worker)
    : loop_(&loop),
      clock_(&clock),
      on_round_(std::move(on_round)),
      after_worker_(std::move(after_worker)) {}

void Sampler::set_sources(std::vector<ScheduledSource> sources, milliseconds batch) {
    ++generation_;
    keep_counts();
    tasks_.clear();
    waiting_.clear();
    schedule_.emplace(*clock_);
    for (ScheduledSource& scheduled : sources) {
        Task& task = tasks_.emplace_back();
        task.source = std::move(scheduled.source);
        task.interval = scheduled.interval;
        task.status.name = task.source->name();
        const Counts& before = counts_before_[task.status.name];
        task.status.rounds = before.rounds;
        task.status.errors = before.errors;
        task.status.interval = scheduled.interval;
        schedule_->add(scheduled.interval);
    }
    // The last, so that a batch ends with the tick on its edge.
    batch_entry_ = schedule_->add(batch);
}

void Sampler::keep_counts() {
    if (!schedule_) return;
    for (const SourceStatus& source : status())
        counts_before_[source.name] = {source.rounds, source.errors, source.overruns};
    ticks_missed_before_ = ticks_missed();
    for (const Task& task : tasks_)
        ticks_missed_before_ += task.busy ? 1 : 0;
    wall_steps_before_ = wall_steps();
    lateness_before_ = take_lateness();
}

Lateness Sampler::take_lateness() {
    Lateness taken = std::exchange(lateness_before_, {});
    taken += schedule_->take_lateness();
    return taken;
}

bool Sampler::turn() {
    bool batch_ends = false;
    for (const Schedule::Due& due : schedule_->take_due()) {
        if (due.index == batch_entry_) {
            batch_ends = true;
            continue;
        }
        Task& task = tasks_[due.index];
        task.status.in_worker = task.proved_slow || task.source->blocking();
        task.status.in_worker ? read_in_worker(due.index, due.at) : read_here(due.index, due.at);
    }
    look_for_stuck();
    return batch_ends;
}

void Sampler::set_stretch(unsigned factor) {
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
        Task& task = tasks_[i];
        const auto longest = std::max<milliseconds>(task.interval, kStretchedMax);
        task.status.interval = std::min(task.interval * factor, longest);
        schedule_->set_interval(i, task.status.interval);
    }
}

std::vector<SourceStatus> Sampler::status() const {
    std::vector<SourceStatus> all;
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
        all.push_back(tasks_[i].status);
        all.back().overruns = counts_before_.at(all.back().name).overruns + schedule_->overruns(i);
    }
    return all;
}

SampleInstant Sampler::instant_of(Task& task, WallTime wall, MonoTime mono) const {
    const auto since = mono - std::exchange(task.read_at, mono).value_or(mono);
    return {wall, mono, since > std::max<milliseconds>(2 * task.status.interval, kGapMin)};
}

void Sampler::read_here(std::size_t index, const SampleInstant& at) {
    const MonoTime begun = clock_->mono_now();
    // Sources before it may have taken their time.
    Task& task = tasks_[index];
    const auto read = task.source->read(instant_of(task, at.wall, begun));
    const auto took = clock_->mono_now() - begun;
    task.slow_reads = took > kSlowRead ? task.slow_reads + 1 : 0;
    if ((task.slow_reads >= kSlowReadsMax || took > kVerySlowRead) &&
        !task.source->bound_to_loop()) {
        task.proved_slow = task.status.in_worker = true;
        log::notice("a slow source is read on a worker thread from now on",
                    {{"source", task.status.name},
                     {"took", format_duration(std::chrono::ceil<milliseconds>(took))}});
    }
    finish(index, at, read, took);
}

void Sampler::read_in_worker(std::size_t index, const SampleInstant& at) {
    tasks_[index].busy = tasks_[index].waits = true;
    tasks_[index].begun = clock_->mono_now();
    schedule_->begin(index);
    waiting_.emplace_back(index, at);
    begin_waiting();
}

void Sampler::begin_waiting() {
    struct Outcome {
        Result<void> read;
        std::chrono::nanoseconds took{0};
    };
    const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& waiting) {
        return !reading_.contains(tasks_[waiting.first].status.name);
    });
    if (next == waiting_.end() || readers_busy_ >= kReadersMax) return;
    auto [index, at] = *next;
    waiting_.erase(next);
    Task& task = tasks_[index];
    task.waits = false;
    task.begun = clock_->mono_now();
    // A stamp is of about when the read begins.
    const bool late = task.begun - at.mono > kNominalStampLateness;
    at = instant_of(task, late ? clock_->wall_now() : at.wall, late ? task.begun : at.mono);
    const auto outcome = std::make_shared<Outcome>();
    ++readers_busy_;
    reading_.insert(task.status.name);
    net::run_in_worker(
        *loop_,
        [source = task.source, at = at, outcome] {
            const auto begun = std::chrono::steady_clock::now();
            outcome->read = source->read(at);
            outcome->took = std::chrono::steady_clock::now() - begun;
        },
        [this, generation = generation_, index = index, at = at, name = task.status.name, outcome] {
            --readers_busy_;
            reading_.erase(name);
            begin_waiting();
            if (generation != generation_) return;
            schedule_->end(index);
            tasks_[index].busy = false;
            tasks_[index].status.stuck = false;
            finish(index, at, outcome->read, outcome->took);
            after_worker_();
        });
}

void Sampler::finish(std::size_t index, const SampleInstant& at, const Result<void>& read,
                     std::chrono::nanoseconds took) {
    Task& task = tasks_[index];
    ++task.status.rounds;
    task.status.last_duration = took;
    if (!read) {
        note_error(task, read.error().context);
        if (!task.source->emits_after_error()) {
            task.read_at =
                task.read_well_at;  // so that the next one knows how old its counters are
            return;
        }
    } else {
        if (!task.status.last_error.empty())
            log::info("a source works again", {{"source", task.status.name}});
        task.status.last_error.clear();
    }
    task.read_well_at = at.mono;
    on_round_(index, *task.source, at);
}

void Sampler::note_error(Task& task, const std::string& error) {
    ++task.status.errors;
    if (task.status.last_error != error)
        log::warning("a source failed", {{"source", task.status.name}, {"error", error}});
    task.status.last_error = error;
}

void Sampler::look_for_stuck() {
    const MonoTime now = clock_->mono_now();
    for (Task& task : tasks_) {
        if (!task.busy || task.status.stuck || now - task.begun < task.source->patience()) continue;
        task.status.stuck = true;
        const std::string after =
            format_duration(std::chrono::ceil<milliseconds>(task.source->patience()));
        note_error(task, task.waits
                             ? "not read for " + after + ": other reads hang and hold every worker"
                             : "no answer after " + after +
                                   "; a read hangs in the kernel, or on a device or server that "
                                   "is gone");
    }
}

}  // namespace ridgeline::agent
