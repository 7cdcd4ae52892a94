// Which batches of which host are in the log: per host and epoch a set of sequences, kept as
// ranges.
//
// In normal life a set is one range that grows; the two lanes of the uplink and losses make a few
// more. Bounded: the epochs of a host that were used longest ago and, past kRangesPerHost, the
// lowest ranges of its epoch with most of them are given up (a batch of theirs that is sent once
// more would be taken as new). With each Hello an agent names the epochs of which it may still
// send, and those stay until the next.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/wire/messages.h"

namespace ridgeline::collector {

class SequenceSet {
  public:
    static constexpr std::size_t kRangesMax = 1'000;

    bool contains(std::uint64_t sequence) const;
    // False when it was there already.
    bool insert(std::uint64_t sequence);
    void insert_range(wire::SequenceRange range);
    void erase(std::uint64_t sequence) { erase_range({sequence, sequence}); }
    void erase_range(wire::SequenceRange range);
    // How many of [first, last] are missing.
    std::uint64_t missing(std::uint64_t first, std::uint64_t last) const;
    std::vector<wire::SequenceRange> ranges() const;
    bool empty() const { return first_to_last_.empty(); }
    std::size_t range_count() const { return first_to_last_.size(); }
    void drop_lowest() { first_to_last_.erase(first_to_last_.begin()); }

  private:
    std::map<std::uint64_t, std::uint64_t> first_to_last_;  // disjoint, not adjacent
};

class SequenceBook {
  public:
    // Of those that an agent does not name.
    static constexpr std::size_t kUnnamedEpochs = 8;
    // The present one, as many earlier ones as a Hello can name, and these.
    static constexpr std::size_t kEpochsPerHost =
        1 + wire::Limits{}.epochs_per_hello + kUnnamedEpochs;
    // Of all epochs together.
    static constexpr std::size_t kRangesPerHost = 1'500;

    // All of the range.
    bool contains(std::string_view host, std::uint64_t epoch, wire::SequenceRange range) const;
    void insert(std::string_view host, std::uint64_t epoch, wire::SequenceRange range);
    void erase(std::string_view host, std::uint64_t epoch, wire::SequenceRange range);
    // The host's agent may send batches of these epochs and of no others.
    void keep(std::string_view host, const std::vector<std::uint64_t>& epochs);
    // Of one.
    bool contains(std::string_view host, std::uint64_t epoch, std::uint64_t sequence) const {
        return contains(host, epoch, wire::SequenceRange{sequence, sequence});
    }
    void insert(std::string_view host, std::uint64_t epoch, std::uint64_t sequence) {
        insert(host, epoch, wire::SequenceRange{sequence, sequence});
    }
    const SequenceSet* find(std::string_view host, std::uint64_t epoch) const;

    // In parts of so many bytes, or of one host if that takes more; at least one.
    std::vector<std::string> encode(std::size_t part_bytes_max) const;
    // Of a part.
    static Result<SequenceBook> decode(std::string_view bytes);
    // Of other hosts.
    void add(SequenceBook other) { hosts_.merge(other.hosts_); }

  private:
    struct Epoch {
        std::uint64_t epoch = 0;
        SequenceSet set;
    };
    struct Host {
        std::vector<Epoch> epochs;         // in order of their last use
        std::vector<std::uint64_t> named;  // by the last Hello since the start
        bool names(std::uint64_t epoch) const;
        void give_up_ranges();
    };
    static std::string encode(std::string_view name, const Host& host);

    std::map<std::string, Host, std::less<>> hosts_;
};

}  // namespace ridgeline::collector
