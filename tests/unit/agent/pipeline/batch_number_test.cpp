#include "agent/pipeline/batch_number.h"

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("a run's numbers are a range, however its sequences lie", "[number]") {
    Numbering numbering;
    REQUIRE(numbering.note(10, {7, 1}));
    REQUIRE(numbering.note(11, {7, 2}));
    REQUIRE(numbering.note(14, {7, 5}));  // 12 and 13 are part of it, or were acknowledged
    REQUIRE(numbering.note(100, {8, 1}));
    REQUIRE(numbering.note(101, {7, 9}));  // its run was killed over it
    REQUIRE(numbering.ranges().size() == 3);
    REQUIRE(numbering.number_of(14) == BatchNumber{7, 5});
    REQUIRE(numbering.number_of(100) == BatchNumber{8, 1});
    REQUIRE(numbering.number_of(101) == BatchNumber{7, 9});
    REQUIRE(numbering.sequence_of({7, 5}) == 14);
    REQUIRE(numbering.sequence_of({7, 9}) == 101);
    REQUIRE_FALSE(numbering.sequence_of({7, 6}));
    REQUIRE_FALSE(numbering.sequence_of({8, 2}));
    REQUIRE_FALSE(numbering.sequence_of({9, 1}));
    REQUIRE(numbering.knows(8));
    REQUIRE_FALSE(numbering.knows(9));
}

TEST_CASE("a number stands for one sequence", "[number]") {
    Numbering numbering;
    REQUIRE(numbering.note(1, {7, 1}));
    REQUIRE(numbering.note(2, {8, 1}));
    REQUIRE_FALSE(numbering.note(3, {7, 1}));
    REQUIRE(numbering.ranges().size() == 2);
}

TEST_CASE("what is taken over keeps its numbers", "[number]") {
    Numbering disk;
    REQUIRE(disk.note(5, {7, 1}));
    Numbering memory;
    REQUIRE(memory.note(1, {8, 1}));
    REQUIRE(memory.note(2, {8, 2}));
    disk.append(memory, 5);
    REQUIRE(disk.number_of(7) == BatchNumber{8, 2});
    REQUIRE(disk.note(8, {8, 3}));
    REQUIRE(disk.sequence_of({8, 3}) == 8);
}

}  // namespace
}  // namespace ridgeline::agent
