#include "collector/rule/host_silence.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kNamedMax = 10;
// So many of what makes a mass loss must be overdue for a single host to wait for it.
constexpr std::size_t kHintShare = 4;

double seconds(std::int64_t ms) {
    return static_cast<double>(ms) / 1000;
}

std::string filled(std::string text, std::string_view name, std::size_t value) {
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at))
        text.replace(at, name.size(), std::to_string(value));
    return text;
}

}  // namespace

const Rule& HostSilence::effective(const HostInfo& info) {
    const std::uint32_t overrides = overrides_for(rule_, info, {});
    if (overrides == 0) return rule_;
    const auto [it, added] = variants_.try_emplace(overrides);
    if (added) it->second = with_overrides(rule_, overrides);
    return it->second;
}

bool HostSilence::wants(const HostInfo& info) {
    return rule_.selects_host(info) && effective(info).enabled;
}

HostSilence::Watched& HostSilence::watch(const KnownHost& host) {
    const auto [it, added] = watched_.try_emplace(host.info().host_id);
    Watched& watched = it->second;
    if (added) watched.id = host.info().host_id;
    watched.rule = &effective(host.info());
    return watched;
}

std::int64_t HostSilence::silent_at_ms(const Watched& watched, const KnownHost& host) const {
    const auto missing_ms =
        static_cast<std::int64_t>(std::llround(watched.rule->levels.front().at * 1000));
    return std::max(host.heard_ms(), *floor_ms_) + std::max(missing_ms, 3 * host.interval_ms());
}

std::optional<std::int64_t> HostSilence::silent_at_ms(const std::string& host) const {
    const auto watched = watched_.find(host);
    const KnownHost* known = hosts_->find(host);
    if (watched == watched_.end() || known == nullptr || !floor_ms_) return {};
    return silent_at_ms(watched->second, *known);
}

void HostSilence::on_heard(const KnownHost& host, std::vector<Transition>& out) {
    const auto known = watched_.find(host.info().host_id);
    // One message says nothing of when the next is due.
    if (known == watched_.end() && (!host.regular() || !wants(host.info()))) return;
    Watched& watched = known == watched_.end() ? watch(host) : known->second;
    if (watched.state == State::told) untell(watched, host.heard_ms(), "", out);
    if (watched.state == State::held) {
        watched.state = State::present;
        --held_;
    }
    if (watched.token == 0 && floor_ms_)
        watched.token = deadlines_.add(&watched, silent_at_ms(watched, host) + 1);
}

void HostSilence::on_tags(const KnownHost& host, std::vector<Transition>& out) {
    const std::string& id = host.info().host_id;
    if (!watched_.contains(id)) return;
    if (wants(host.info())) {
        watch(host);
    } else {
        retire(id, host.heard_ms(), "the rule does not select the host any more", out);
    }
}

void HostSilence::start(std::int64_t floor_ms) {
    floor_ms_ = floor_ms;
    for (const auto& [id, host] : hosts_->all()) {
        if (!host.regular() || !wants(host.info())) continue;
        Watched& watched = watch(host);
        // One held by a loss that is still on is looked at anew.
        if (watched.state == State::held) {
            watched.state = State::present;
            --held_;
        }
        if (watched.state == State::present && watched.token == 0)
            watched.token = deadlines_.add(&watched, silent_at_ms(watched, host) + 1);
    }
}

std::optional<std::int64_t> HostSilence::on_due(Watched& watched, std::int64_t now_ms) {
    const KnownHost* host = hosts_->find(watched.id);
    const std::int64_t silent_at = host == nullptr ? now_ms : silent_at_ms(watched, *host);
    if (now_ms <= silent_at && host != nullptr) return silent_at + 1;
    watched.token = 0;
    if (watched.state != State::present) return {};
    watched.state = State::held;
    watched.dark_ms = now_ms;
    watched.since_ms = host == nullptr ? now_ms : host->heard_ms();
    ++held_;
    return {};
}

void HostSilence::on_tick(std::int64_t now_ms, std::vector<Transition>& out) {
    if (!floor_ms_ || now_ms < *floor_ms_) return;
    deadlines_.run(now_ms, [&](Watched& watched) { return on_due(watched, now_ms); });
    if (mass_) {
        judge_mass(now_ms, out);
    } else if (held_ > 0) {
        judge_alone(now_ms, out);
    }
}

// How many dark hosts are a mass loss; those told long ago are no part of the fleet any more.
std::size_t HostSilence::mass_min() const {
    const MassLoss& mass = *rule_.heartbeat->mass;
    const auto fleet = static_cast<double>(watched_.size() - told_);
    return std::max(mass.hosts_min, static_cast<std::size_t>(std::ceil(mass.share * fleet)));
}

// Hosts on their way to being silent: quiet for half their time and two of their intervals.
std::size_t HostSilence::overdue(std::int64_t now_ms) const {
    return static_cast<std::size_t>(
        std::count_if(watched_.begin(), watched_.end(), [&](const auto& entry) {
            const Watched& watched = entry.second;
            const KnownHost* host =
                watched.state == State::present ? hosts_->find(watched.id) : nullptr;
            if (host == nullptr) return false;
            const std::int64_t from_ms = std::max(host->heard_ms(), *floor_ms_);
            const std::int64_t allowed_ms = silent_at_ms(watched, *host) - from_ms;
            return now_ms - from_ms > std::max(allowed_ms / 2, 2 * host->interval_ms());
        }));
}

void HostSilence::judge_alone(std::int64_t now_ms, std::vector<Transition>& out) {
    std::int64_t wait_ms = 0;
    if (rule_.heartbeat->mass) {
        const MassLoss& settings = *rule_.heartbeat->mass;
        const std::int64_t within_ms = settings.within.count();
        std::size_t lost = held_;
        for (const auto& [id, watched] : watched_) {
            if (watched.state == State::told && now_ms - watched.dark_ms <= within_ms) ++lost;
        }
        const std::size_t least = mass_min();
        if (lost >= least) {
            std::int64_t since_ms = now_ms;
            for (const auto& [id, watched] : watched_) {
                if (watched.state == State::held) since_ms = std::min(since_ms, watched.since_ms);
            }
            mass_ = Mass{since_ms, least, {}};
            tell_mass(Change::fired, now_ms, out);
            return;
        }
        const std::size_t hint = std::max<std::size_t>(2, (least + kHintShare - 1) / kHintShare);
        // A fleet too small for a mass loss need not wait for one.
        const bool possible = least <= watched_.size();
        if (possible && lost + overdue(now_ms) >= hint) wait_ms = within_ms;
    }
    for (Watched* watched : held_in_order()) {
        if (now_ms - watched->dark_ms >= wait_ms) tell(*watched, now_ms, out);
    }
}

void HostSilence::judge_mass(std::int64_t now_ms, std::vector<Transition>& out) {
    if (mass_->hosts_min == 0) {
        // Begun before the start: its hosts are given the time to come back.
        mass_->hosts_min = rule_.heartbeat->mass ? mass_min() : 1;
        mass_->below_since_ms = now_ms + std::llround(rule_.levels.front().at * 1000);
    }
    if (held_ >= mass_->hosts_min) {
        mass_->below_since_ms.reset();
        return;
    }
    if (!mass_->below_since_ms) mass_->below_since_ms = now_ms;
    const std::int64_t settle_ms =
        rule_.heartbeat->mass ? rule_.heartbeat->mass->within.count() : 0;
    if (now_ms - *mass_->below_since_ms < settle_ms) return;
    tell_mass(Change::resolved, now_ms, out);
    mass_.reset();
    for (Watched* watched : held_in_order())
        tell(*watched, now_ms, out);
}

std::vector<HostSilence::Watched*> HostSilence::held_in_order() {
    std::vector<Watched*> held;
    for (auto& [id, watched] : watched_) {
        if (watched.state == State::held) held.push_back(&watched);
    }
    std::sort(held.begin(), held.end(),
              [](const Watched* a, const Watched* b) { return a->id < b->id; });
    return held;
}

Transition HostSilence::single(const Watched& watched, Change change, std::int64_t time_ms) const {
    const Rule& rule = *watched.rule;
    const Level& level = rule.levels.front();
    Transition transition = transition_of(rule, level, change);
    transition.key = alert_key(rule, watched.id, {});
    transition.host = watched.id;
    transition.time_ms = time_ms;
    transition.since_ms = watched.since_ms;
    transition.value = seconds(std::max<std::int64_t>(time_ms - watched.since_ms, 0));
    const KnownHost* host = hosts_->find(watched.id);
    const HostInfo unknown{watched.id, {}, {}, {}, {}};
    transition.summary = rule.summary.render(
        {host == nullptr ? unknown : host->info(),
         transition.attributes,
         rule.id,
         to_string(level.severity),
         transition.value,
         level.at,
         rule.unit,
         rule.metric->unit,
         std::chrono::milliseconds{std::max<std::int64_t>(time_ms - watched.since_ms, 0)},
         {}});
    return transition;
}

void HostSilence::tell(Watched& watched, std::int64_t now_ms, std::vector<Transition>& out) {
    watched.state = State::told;
    --held_;
    ++told_;
    out.push_back(single(watched, Change::fired, now_ms));
}

void HostSilence::untell(Watched& watched, std::int64_t now_ms, const std::string& reason,
                         std::vector<Transition>& out) {
    watched.state = State::present;
    --told_;
    out.push_back(single(watched, Change::resolved, now_ms));
    out.back().reason = reason;
}

std::string HostSilence::names_of_held() {
    const std::vector<Watched*> held = held_in_order();
    std::string text;
    for (std::size_t i = 0; i < std::min(held.size(), kNamedMax); ++i)
        text += (i == 0 ? "" : ", ") + held[i]->id;
    if (held.size() > kNamedMax)
        text += " and " + std::to_string(held.size() - kNamedMax) + " more";
    return text;
}

std::string HostSilence::mass_key() const {
    return alert_key(rule_, "", {{"scope", "mass"}});
}

void HostSilence::tell_mass(Change change, std::int64_t now_ms, std::vector<Transition>& out) {
    const MassLoss settings = rule_.heartbeat->mass.value_or(MassLoss{});
    Transition transition = transition_of(rule_, rule_.levels.front(), change);
    transition.key = mass_key();
    transition.attributes = {{"scope", "mass"}};
    transition.severity = settings.severity;
    transition.time_ms = now_ms;
    transition.since_ms = mass_->since_ms;
    transition.value = static_cast<double>(held_);
    transition.threshold = static_cast<double>(mass_->hosts_min);
    transition.unit = "{host}";
    transition.summary =
        filled(filled(settings.summary, "{count}", held_), "{total}", watched_.size());
    if (held_ > 0) transition.summary += " (" + names_of_held() + ")";
    out.push_back(std::move(transition));
}

void HostSilence::retire(const std::string& host, std::int64_t now_ms, const std::string& reason,
                         std::vector<Transition>& out) {
    const auto it = watched_.find(host);
    if (it == watched_.end()) return;
    if (it->second.state == State::told) untell(it->second, now_ms, reason, out);
    if (it->second.state == State::held) --held_;
    deadlines_.remove(it->second.token);
    watched_.erase(it);
}

bool HostSilence::dark(const std::string& host) const {
    const auto it = watched_.find(host);
    return it != watched_.end() && it->second.state != State::present;
}

bool HostSilence::undecided(const std::string& host) const {
    const KnownHost* known = hosts_->find(host);
    return known != nullptr && !known->heard() && !dark(host) && known->regular() &&
           rule_.selects_host(known->info());
}

std::vector<FiringCondition> HostSilence::firing() const {
    std::vector<FiringCondition> out;
    if (mass_) out.push_back({mass_key(), rule_.fingerprint, {0, mass_->since_ms, true}, 0});
    for (const auto& [id, watched] : watched_) {
        if (watched.state == State::told) {
            out.push_back(
                {alert_key(rule_, id, {}), rule_.fingerprint, {0, watched.since_ms, true}, 0});
        }
    }
    return out;
}

void HostSilence::restore(const FiringCondition& condition) {
    if (condition.key == mass_key()) {
        // Its size is not known before its hosts have had their time to come back.
        mass_ = Mass{condition.firing.since_ms, 0, {}};
        return;
    }
    const std::string id(host_of_key(condition.key));
    const auto [it, added] = watched_.try_emplace(id);
    Watched& watched = it->second;
    if (watched.state == State::told) return;
    if (watched.state == State::held) --held_;
    watched.id = id;
    const KnownHost* known = hosts_->find(id);
    watched.rule = known == nullptr ? &rule_ : &effective(known->info());
    watched.state = State::told;
    watched.since_ms = condition.firing.since_ms;
    watched.dark_ms = condition.firing.since_ms;
    ++told_;
}

void HostSilence::change(Rule rule, std::vector<Transition>& out) {
    rule_ = std::move(rule);
    variants_.clear();
    std::vector<std::string> gone;
    for (auto& [id, watched] : watched_) {
        const KnownHost* known = hosts_->find(id);
        watched.rule = known == nullptr ? &rule_ : &effective(known->info());
        const bool wanted = known == nullptr || (wants(known->info()));
        if (!wanted) gone.push_back(id);
    }
    for (const std::string& id : gone)
        retire(id, watched_.at(id).since_ms, "the rule does not select the host any more", out);
    // New limits apply from the next look on; hosts the rule had not selected are met again.
    if (floor_ms_) start(*floor_ms_);
}

}  // namespace ridgeline::collector
