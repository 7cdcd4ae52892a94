"""The short variant of tests/bench/delivery.py, and whether its accounts would tell."""

import collections
import os
import random
import sys
import unittest

from harness import SOURCE_ROOT

sys.path.insert(0, str(SOURCE_ROOT / "tests" / "bench"))
import delivery
import faulty_network
from delivery import Cut, Round


def arrived(*stamps_ms, values=10):
    return [Round("host", 1, n, "memory", stamp, values, None) for n, stamp in enumerate(stamps_ms)]


def taken(*stamps_ms):
    return collections.Counter(("memory", stamp) for stamp in stamps_ms)


class AccountsTest(unittest.TestCase):
    """Ten samples a round."""

    def settle(self, *arguments, **options):
        return delivery.settle("host", *arguments, **options)

    def test_all_there(self):
        account = self.settle(taken(1000, 2000), arrived(2000, 1000))
        self.assertEqual((account.taken, account.arrived, account.rounds), (20, 20, 2))
        self.assertTrue(account.good())

    def test_lost(self):
        account = self.settle(taken(1000, 2000, 3000), arrived(1000, 3000))
        self.assertEqual((account.taken, account.arrived, account.lost), (30, 20, 10))
        self.assertFalse(account.good())

    def test_doubled(self):
        account = self.settle(taken(1000, 2000), arrived(1000, 2000, 2000))
        self.assertEqual((account.taken, account.arrived, account.doubled), (20, 20, 10))
        self.assertFalse(account.good())

    def test_a_clock_set_back_gives_a_stamp_twice(self):
        twice = taken(1000) + taken(1000)
        self.assertTrue(self.settle(twice, arrived(1000, 1000)).good())
        self.assertEqual(self.settle(twice, arrived(1000)).lost, 10)
        self.assertEqual(self.settle(twice, arrived(1000, 1000, 1000)).doubled, 10)

    def test_counted_as_dropped(self):
        account = self.settle(taken(1000, 2000, 3000), arrived(3000), counted=20)
        self.assertEqual((account.taken, account.counted, account.lost), (30, 20, 0))
        self.assertTrue(account.good())
        self.assertEqual(self.settle(taken(1000, 2000, 3000), arrived(3000), counted=10).lost, 10)
        self.assertFalse(self.settle(taken(1000, 3000), arrived(3000), counted=20).good(), "counted too many")

    def test_never_sampled(self):
        self.assertFalse(self.settle(taken(1000), arrived(1000, 9000)).good())
        account = self.settle(taken(1000), arrived(1000, 9000), kills_ms=[9100])
        self.assertEqual((account.taken, account.arrived), (20, 20))
        self.assertTrue(account.good(), "journalled, and killed before it was said")

    def test_power_cut(self):
        whole = taken(20_000, 29_000)
        account = self.settle(whole, arrived(20_000), cuts=[Cut(30_000, set())])
        self.assertEqual((account.taken, account.arrived, account.unsynced, account.lost), (20, 10, 10, 0))
        self.assertTrue(account.good())
        left = [Cut(30_000, {("memory", 29_000)})]
        self.assertEqual(self.settle(whole, arrived(20_000), cuts=left).lost, 10)
        long_synced = [Cut(90_000, set())]
        self.assertEqual(self.settle(whole, arrived(20_000), cuts=long_synced).lost, 10)

    def test_another_instants_value(self):
        def read(*stamps_and_writes_ms):
            rounds = [Round("host", 1, 1, "memory", stamp, 10, written // delivery.MARK_MS * 1024)
                      for stamp, written in stamps_and_writes_ms]
            return self.settle(taken(*(r.stamp_ms for r in rounds)), rounds, base_ms=0).good()
        self.assertTrue(read((60_000, 59_950), (60_100, 59_950), (60_200, 60_150)))
        self.assertFalse(read((60_000, 40_000)), "long ago")
        self.assertFalse(read((60_000, 60_000), (60_100, 60_100), (60_200, 60_000)), "those of the first again")


class DeliveryTest(unittest.TestCase):
    def test_every_sample_arrives_once(self):
        if why := faulty_network.why_not():
            self.skipTest(why)
        seed = random.SystemRandom().randrange(10**9)
        print("seed", seed)
        scenarios = [s for s in delivery.SCENARIOS if s.in_short]
        wrong = delivery.run(scenarios, short=True, seed=seed, jobs=len(scenarios))
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
