"""kill -9 of each side in turn: what the agent sampled is at the collector, each sample once."""

import random
import unittest

from harness import RidgelineTest, wait_for

INTERVAL_MS = 200
ROUNDS = 4


class SurviveKillTest(RidgelineTest):
    def points(self, instants):
        """(first instant, number of samples, how many instants have how many)."""
        answer = self.collector_.get("/api/v1/query", host="survivor", metric="system.memory.usage",
                                     step=INTERVAL_MS, to=instants[-1] + INTERVAL_MS,
                                     **{"attr.state": "used", "from": instants[0] - INTERVAL_MS})
        self.assertEqual(len(answer["series"]), 1)
        return {point["t"]: point["count"] for point in answer["series"][0]["points"]}

    def test_nothing_lost_and_nothing_doubled(self):
        seed = random.SystemRandom().randrange(10**9)
        rng = random.Random(seed)
        print("seed", seed)
        self.collector_ = self.collector().start()
        agent = self.agent(self.collector_, "survivor", interval=f"{INTERVAL_MS}ms").start()

        def sample_more(count):
            goal = len(agent.sampled("memory")) + count
            wait_for(lambda: len(agent.sampled("memory")) >= goal, f"{count} more samples")

        sample_more(8)
        for _ in range(ROUNDS):
            for side in rng.sample([agent, self.collector_], 2):
                side.kill9()
                if side is self.collector_ and rng.random() < 0.5:
                    sample_more(rng.randrange(1, 8))  # sampled into the spool with nobody to send to
                side.start()
                sample_more(rng.randrange(1, 12))
        sample_more(8)
        self.assertEqual(agent.stop(), 0)

        sampled = agent.sampled("memory")
        self.assertEqual(len(sampled), len(set(sampled)), "an instant is sampled once")
        wait_for(lambda: max(self.points(sampled)) == sampled[-1], "the last sample at the collector")
        counts = self.points(sampled)
        lost = sorted(set(sampled) - set(counts))
        doubled = {t: n for t, n in counts.items() if n != 1}
        print(f"{len(sampled)} samples, {2 * ROUNDS} kills; lost {len(lost)}, doubled {len(doubled)}")
        self.assertEqual(lost, [], "sampled and not at the collector")
        self.assertEqual(doubled, {}, "at the collector more than once")

        # What was read from the log is the same as what a collector that starts anew reads from it.
        self.collector_.kill9()
        self.collector_.start()
        self.assertEqual(self.points(sampled), counts)


if __name__ == "__main__":
    unittest.main()
