#include "agent/facts/facts_book.h"

#include <algorithm>
#include <utility>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kTitle = "ridgeline host facts 1";
constexpr std::size_t kCacheBytesMax = 64U << 10;

}  // namespace

FactsBook::FactsBook(std::filesystem::path cache, std::string machine, const Clock& clock,
                     std::uint64_t seed)
    : cache_(std::move(cache)),
      machine_(std::move(machine)),
      clock_(&clock),
      random_(seed),
      next_(clock.mono_now()) {
    load();
}

bool FactsBook::take(const Result<Facts>& answer) {
    // A fleet that was started at once does not ask at once for ever.
    const auto jittered = [&](milliseconds delay) {
        return milliseconds{std::uniform_int_distribution<milliseconds::rep>(
            delay.count() * 9 / 10, delay.count())(random_)};
    };
    if (!answer) {
        error_ = answer.error().context;
        next_ = clock_->mono_now() + jittered(retry_);
        retry_ = std::min<milliseconds>(retry_ * 2, kFactsRetryMax);
        return false;
    }
    error_.clear();
    retry_ = kFactsRetryMin;
    next_ = clock_->mono_now() + jittered(kFactsRefresh);
    if (*answer == facts_) return false;
    facts_ = *answer;
    save();
    return true;
}

// Lines "key<tab>value" below a title and the machine; anything odd and nothing of it is used.
void FactsBook::load() {
    if (cache_.empty()) return;
    const auto content = read_file(cache_, kCacheBytesMax);
    if (!content) return;
    std::string_view rest = *content;
    if (next_line(rest) != kTitle || next_line(rest) != machine_) return;
    Facts facts;
    while (!rest.empty()) {
        const std::string_view line = next_line(rest);
        const auto tab = line.find('\t');
        if (tab == std::string_view::npos || printable(line.substr(0, tab)) != line.substr(0, tab))
            return;
        facts[std::string(line.substr(0, tab))] =
            printable(line.substr(tab + 1), kFactValueBytesMax);
    }
    facts_ = std::move(facts);
}

// What cannot be kept costs no more than a question at the next start.
void FactsBook::save() const {
    if (cache_.empty()) return;
    std::string text = std::string(kTitle) + '\n' + machine_ + '\n';
    for (const auto& [key, value] : facts_)
        text += key + '\t' + value + '\n';
    (void)write_file_atomic(cache_, text, 0640);
}

}  // namespace ridgeline::agent
