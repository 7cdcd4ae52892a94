// What a batch is called outside the spool: its epoch, and its number within that.
//
// Every run of the agent draws an epoch, 64 random bits, and numbers the batches that it seals from
// 1. A batch keeps its name for as long as it exists, whichever run sends it. So whatever a power
// cut or a sick disk makes a run forget, its numbers are never another batch's. The spool itself
// goes by sequences, which are its own affair: they ascend over all runs, and may leave some out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace ridgeline::agent {

struct BatchNumber {
    std::uint64_t epoch = 0;
    std::uint64_t number = 0;
    bool operator==(const BatchNumber&) const = default;
};

// From sequences to numbers and back; a range for each run whose batches there are. Pure.
class Numbering {
  public:
    struct Range {
        std::uint64_t from = 0;  // sequence
        BatchNumber first;       // its number
        std::uint64_t next = 0;  // after the last number it has
    };

    // Sequences ascend. False when the number is another sequence's: it is not noted.
    bool note(std::uint64_t sequence, BatchNumber number);
    // Those of another one, `shift` sequences later.
    void append(const Numbering& other, std::uint64_t shift);

    // Of a sequence that was noted.
    BatchNumber number_of(std::uint64_t sequence) const;
    std::optional<std::uint64_t> sequence_of(BatchNumber number) const;
    bool knows(std::uint64_t epoch) const;
    // Ascending by sequence.
    const std::vector<Range>& ranges() const { return ranges_; }

  private:
    std::vector<Range> ranges_;
};

}  // namespace ridgeline::agent
