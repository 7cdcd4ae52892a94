#include "collector/sink/jobs.h"

#include <algorithm>
#include <span>
#include <string>

#include "common/base/crc32c.h"

namespace ridgeline::collector {

bool Job::needs_loading() const {
    if (loaded) return false;
    if (!work.progress) return true;
    DatumRanges settled = work.progress->done;
    for (const SentRequest& request : work.progress->sent)
        settled.add(request.range);
    return settled.count() < work.progress->datums;
}

std::uint64_t Job::samples_in(DatumRange range) const {
    std::uint64_t sum = 0;
    for (std::size_t i = range.begin; i < std::min(range.end, datums.size()); ++i)
        sum += datums[i].statistics.count();
    return sum;
}

std::uint32_t checksum_of(const std::vector<Datum>& datums) {
    std::uint32_t sum = 0;
    std::string text;
    for (const Datum& datum : datums) {
        text.assign(datum.metric->name);
        for (const Dimension& dimension : datum.metric->dimensions)
            text.append("\n").append(dimension.name).append("=").append(dimension.value);
        text.append("\n").append(datum.metric->unit);
        text.append("\n").append(std::to_string(to_unix_ms(datum.timestamp)));
        text.append("\n").append(std::to_string(datum.statistics.count()));
        text.append("\n");
        sum = crc32c(std::as_bytes(std::span(text)), sum);
    }
    return sum;
}

Jobs::Jobs(std::vector<Work> work) {
    for (Work& one : work) {
        auto job = std::make_shared<Job>();
        job->work = std::move(one);
        jobs_.push_back(std::move(job));
    }
}

std::size_t Jobs::datums_in_memory() const {
    std::size_t sum = 0;
    for (const JobPtr& job : jobs_)
        sum += job->datums.size();
    return sum;
}

std::vector<Doubtful> Jobs::doubtful() const {
    std::vector<Doubtful> out;
    for (const JobPtr& job : jobs_) {
        if (!job->work.progress) continue;
        for (const SentRequest& request : job->work.progress->sent)
            if (!job->in_flight.contains(request.marker)) out.push_back({job, request});
    }
    return out;
}

std::vector<Work> Jobs::work() const {
    std::vector<Work> out;
    out.reserve(jobs_.size());
    for (const JobPtr& job : jobs_)
        out.push_back(job->work);
    return out;
}

std::uint64_t Jobs::bytes_of_log() const {
    std::uint64_t sum = 0;
    for (const JobPtr& job : jobs_)
        if (!job->loaded) sum += job->work.stretch.end - job->work.stretch.taken_until;
    return sum;
}

void Jobs::make_pending(Job& job) const {
    DatumRanges settled;
    if (job.work.progress) {
        settled = job.work.progress->done;
        for (const SentRequest& request : job.work.progress->sent)
            settled.add(request.range);
    }
    const auto missing = settled.missing(job.datums.size());
    job.pending.assign(missing.begin(), missing.end());
    job.searches_left = searches_;
    job.loaded = true;
}

JobPtr Jobs::add(Work work, std::vector<Datum> datums, std::size_t live) {
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    job->datums = std::move(datums);
    job->live = live;
    make_pending(*job);
    jobs_.push_back(job);
    return job;
}

bool Jobs::load(const JobPtr& job, const std::optional<StretchCut>& cut, std::vector<Datum> datums,
                std::size_t live, std::uint32_t config) {
    if (cut) {
        auto rest = std::make_shared<Job>();
        rest->work = job->work;
        job->work.stretch = cut_front(rest->work.stretch, *cut);
        jobs_.insert(std::next(std::find(jobs_.begin(), jobs_.end(), job)), std::move(rest));
    }
    job->loading = false;
    job->datums = std::move(datums);
    job->live = live;
    job->work.counted = true;
    const auto& progress = job->work.progress;
    const bool same =
        !progress || (progress->config == config && progress->datums == job->datums.size() &&
                      progress->checksum == checksum_of(job->datums));
    if (!same) {
        job->work.progress.reset();
        job->in_flight.clear();
    }
    make_pending(*job);
    if (job->datums.empty()) std::erase(jobs_, job);
    return same;
}

void Jobs::unload(const JobPtr& job) {
    job->loaded = false;
    job->datums = {};
    job->pending.clear();
    auto& progress = job->work.progress;
    if (progress && progress->done.count() == 0 && progress->sent.empty()) progress.reset();
}

void Jobs::unload_beyond(std::size_t datums_max) {
    std::size_t held = datums_in_memory();
    for (std::size_t i = 0; i + 1 < jobs_.size() && held > datums_max; ++i) {
        const JobPtr& job = jobs_[i];
        if (!job->loaded || !job->in_flight.empty()) continue;
        held -= job->datums.size();
        unload(job);
    }
    join_neighbours();
}

void Jobs::join_neighbours() {
    const auto untouched = [](const JobPtr& job) {
        return !job->loaded && !job->loading && !job->work.progress;
    };
    for (std::size_t i = 0; i + 1 < jobs_.size();) {
        Job& first = *jobs_[i];
        const Job& second = *jobs_[i + 1];
        const auto both = untouched(jobs_[i]) && untouched(jobs_[i + 1]) &&
                                  first.work.counted == second.work.counted
                              ? joined(first.work.stretch, second.work.stretch)
                              : std::nullopt;
        if (!both) {
            ++i;
            continue;
        }
        first.work.stretch = *both;
        first.flushed_until = {};
        jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
}

void Jobs::touch(Job& job, std::uint32_t config) {
    if (job.work.progress) return;
    job.work.progress.emplace();
    job.work.progress->config = config;
    job.work.progress->checksum = checksum_of(job.datums);
    job.work.progress->datums = job.datums.size();
}

void Jobs::begin(const JobPtr& job, const SentRequest& request, std::uint32_t config) {
    touch(*job, config);
    job->work.progress->sent.push_back(request);
    job->in_flight.insert(request.marker);
    DatumRange& front = job->pending.front();
    front.begin = request.range.end;
    if (front.begin == front.end) job->pending.pop_front();
}

void Jobs::doubt(const JobPtr& job, const SentRequest& request) {
    job->in_flight.erase(request.marker);
}

void Jobs::forget(const JobPtr& job, const SentRequest& request) {
    job->in_flight.erase(request.marker);
    if (!job->work.progress) return;
    std::erase_if(job->work.progress->sent,
                  [&](const SentRequest& sent) { return sent.marker == request.marker; });
}

void Jobs::put_back(const JobPtr& job, const SentRequest& request) {
    forget(job, request);
    requeue(job, request.range);
}

void Jobs::requeue(const JobPtr& job, DatumRange range) {
    if (job->loaded && range.size() > 0) job->pending.push_front(range);
}

bool Jobs::finish_if_done(const JobPtr& job) {
    if (job->work.progress->done.count() < job->work.progress->datums) return false;
    std::erase(jobs_, job);
    return true;
}

bool Jobs::settle(const JobPtr& job, const SentRequest& request) {
    forget(job, request);
    job->work.progress->done.add(request.range);
    return finish_if_done(job);
}

bool Jobs::settle(const JobPtr& job, DatumRange range, std::uint32_t config) {
    touch(*job, config);
    job->work.progress->done.add(range);
    return finish_if_done(job);
}

}  // namespace ridgeline::collector
