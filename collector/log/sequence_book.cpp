#include "collector/log/sequence_book.h"

#include <algorithm>

#include "common/wire/column_codec.h"

namespace ridgeline::collector {

bool SequenceSet::contains(std::uint64_t sequence) const {
    auto it = first_to_last_.upper_bound(sequence);
    return it != first_to_last_.begin() && std::prev(it)->second >= sequence;
}

bool SequenceSet::insert(std::uint64_t sequence) {
    if (contains(sequence)) return false;
    insert_range({sequence, sequence});
    return true;
}

void SequenceSet::insert_range(wire::SequenceRange range) {
    auto it = first_to_last_.upper_bound(range.first);
    // Compared by what lies before a first, which cannot overflow as what lies after a last can.
    if (it != first_to_last_.begin() &&
        (range.first == 0 || std::prev(it)->second >= range.first - 1))
        --it;
    while (it != first_to_last_.end() && (it->first == 0 || it->first - 1 <= range.last)) {
        range.first = std::min(range.first, it->first);
        range.last = std::max(range.last, it->second);
        it = first_to_last_.erase(it);
    }
    first_to_last_.emplace(range.first, range.last);
    if (first_to_last_.size() > kRangesMax) first_to_last_.erase(first_to_last_.begin());
}

void SequenceSet::erase_range(wire::SequenceRange range) {
    auto it = first_to_last_.upper_bound(range.first);
    if (it != first_to_last_.begin() && std::prev(it)->second >= range.first) --it;
    while (it != first_to_last_.end() && it->first <= range.last) {
        const auto [first, last] = *it;
        it = first_to_last_.erase(it);
        if (first < range.first) first_to_last_.emplace(first, range.first - 1);
        if (range.last < last) {
            first_to_last_.emplace(range.last + 1, last);
            return;
        }
    }
}

std::uint64_t SequenceSet::missing(std::uint64_t first, std::uint64_t last) const {
    if (first > last) return 0;
    std::uint64_t present = 0;
    for (const auto& [begin, end] : first_to_last_) {
        const std::uint64_t from = std::max(begin, first);
        const std::uint64_t to = std::min(end, last);
        if (from <= to) present += to - from + 1;
    }
    return last - first + 1 - present;
}

std::vector<wire::SequenceRange> SequenceSet::ranges() const {
    std::vector<wire::SequenceRange> out;
    for (const auto& [first, last] : first_to_last_)
        out.push_back({first, last});
    return out;
}

bool SequenceBook::contains(std::string_view host, std::uint64_t epoch,
                            wire::SequenceRange range) const {
    const SequenceSet* set = find(host, epoch);
    return set != nullptr && set->missing(range.first, range.last) == 0;
}

const SequenceSet* SequenceBook::find(std::string_view host, std::uint64_t epoch) const {
    const auto it = hosts_.find(host);
    if (it == hosts_.end()) return nullptr;
    for (const Epoch& entry : it->second.epochs) {
        if (entry.epoch == epoch) return &entry.set;
    }
    return nullptr;
}

bool SequenceBook::Host::names(std::uint64_t epoch) const {
    return std::find(named.begin(), named.end(), epoch) != named.end();
}

void SequenceBook::Host::give_up_ranges() {
    std::size_t count = 0;
    for (const Epoch& entry : epochs)
        count += entry.set.range_count();
    for (; count > kRangesPerHost; --count) {
        std::max_element(epochs.begin(), epochs.end(), [](const Epoch& a, const Epoch& b) {
            return a.set.range_count() < b.set.range_count();
        })->set.drop_lowest();
    }
}

void SequenceBook::insert(std::string_view name, std::uint64_t epoch, wire::SequenceRange range) {
    Host& host = hosts_.try_emplace(std::string(name)).first->second;
    auto& epochs = host.epochs;
    auto it = std::find_if(epochs.begin(), epochs.end(),
                           [&](const Epoch& e) { return e.epoch == epoch; });
    if (it == epochs.end()) {
        if (epochs.size() == kEpochsPerHost) {
            // There is one: no Hello can name so many.
            epochs.erase(std::find_if(epochs.begin(), epochs.end(),
                                      [&](const Epoch& e) { return !host.names(e.epoch); }));
        }
        epochs.push_back({epoch, {}});
        it = std::prev(epochs.end());
    } else if (it != std::prev(epochs.end())) {
        std::rotate(it, std::next(it), epochs.end());
        it = std::prev(epochs.end());
    }
    it->set.insert_range(range);
    host.give_up_ranges();
}

void SequenceBook::keep(std::string_view name, const std::vector<std::uint64_t>& epochs) {
    Host& host = hosts_.try_emplace(std::string(name)).first->second;
    host.named = epochs;
    host.named.resize(std::min(epochs.size(), kEpochsPerHost - kUnnamedEpochs));
    auto& known = host.epochs;
    const auto named = std::stable_partition(
        known.begin(), known.end(), [&](const Epoch& entry) { return !host.names(entry.epoch); });
    const auto others = static_cast<std::size_t>(named - known.begin());
    if (others > kUnnamedEpochs)
        known.erase(known.begin(),
                    known.begin() + static_cast<std::ptrdiff_t>(others - kUnnamedEpochs));
}

void SequenceBook::erase(std::string_view name, std::uint64_t epoch, wire::SequenceRange range) {
    const auto it = hosts_.find(name);
    if (it == hosts_.end()) return;
    for (Epoch& entry : it->second.epochs) {
        if (entry.epoch == epoch) entry.set.erase_range(range);
    }
    it->second.give_up_ranges();  // what is cut out of the middle of one leaves two
}

std::string SequenceBook::encode(std::string_view name, const Host& host) {
    std::string out;
    wire::put_varint(out, name.size());
    out += name;
    wire::put_varint(out, host.epochs.size());
    for (const Epoch& entry : host.epochs) {
        wire::put_varint(out, entry.epoch);
        const auto ranges = entry.set.ranges();
        wire::put_varint(out, ranges.size());
        std::uint64_t previous = 0;
        for (const auto& range : ranges) {
            wire::put_varint(out, range.first - previous);
            wire::put_varint(out, range.last - range.first);
            previous = range.last;
        }
    }
    return out;
}

std::vector<std::string> SequenceBook::encode(std::size_t part_bytes_max) const {
    std::vector<std::string> parts;
    std::string part;
    std::size_t in_part = 0;
    const auto end_part = [&] {
        std::string whole;
        wire::put_varint(whole, in_part);
        parts.push_back(whole + part);
        part.clear();
        in_part = 0;
    };
    constexpr std::size_t kCountBytesMax = 10;
    for (const auto& [name, host] : hosts_) {
        if (host.epochs.empty()) continue;  // it named some, and none has a batch
        const std::string encoded = encode(name, host);
        if (in_part > 0 && part.size() + encoded.size() + kCountBytesMax > part_bytes_max)
            end_part();
        part += encoded;
        ++in_part;
    }
    if (in_part > 0 || parts.empty()) end_part();
    return parts;
}

namespace {

tl::unexpected<Error> damaged() {
    return fail(Errc::corrupt, "sequence book: damaged");
}

Result<SequenceSet> decode_set(std::string_view& in) {
    SequenceSet set;
    const auto count = wire::take_varint(in);
    if (!count || *count > in.size()) return damaged();
    std::uint64_t previous = 0;
    for (std::uint64_t i = 0; i < *count; ++i) {
        const auto skip = wire::take_varint(in);
        const auto length = wire::take_varint(in);
        if (!skip || !length || previous + *skip < previous ||
            previous + *skip + *length < previous + *skip) {
            return damaged();
        }
        const std::uint64_t first = previous + *skip;
        set.insert_range({first, first + *length});
        previous = first + *length;
    }
    return set;
}

}  // namespace

Result<SequenceBook> SequenceBook::decode(std::string_view in) {
    SequenceBook book;
    const auto host_count = wire::take_varint(in);
    if (!host_count || *host_count > in.size()) return damaged();
    for (std::uint64_t h = 0; h < *host_count; ++h) {
        const auto length = wire::take_varint(in);
        if (!length || *length > in.size()) return damaged();
        const std::string host(in.substr(0, static_cast<std::size_t>(*length)));
        in.remove_prefix(static_cast<std::size_t>(*length));
        const auto epoch_count = wire::take_varint(in);
        if (!epoch_count || *epoch_count > kEpochsPerHost) return damaged();
        auto& epochs = book.hosts_[host].epochs;
        for (std::uint64_t e = 0; e < *epoch_count; ++e) {
            const auto epoch = wire::take_varint(in);
            if (!epoch) return damaged();
            RL_ASSIGN_OR_RETURN(SequenceSet set, decode_set(in));
            epochs.push_back({*epoch, std::move(set)});
        }
        book.hosts_[host].give_up_ranges();
    }
    if (!in.empty()) return damaged();
    return book;
}

}  // namespace ridgeline::collector
