"""An agent that needs more than it may: it samples less often, says so everywhere, and goes on."""

import unittest

import harness


class SelfLimit(harness.RidgelineTest):
    def test_over_its_memory_it_thins_and_says_why(self):
        collector = self.collector().start()
        agent = self.agent(collector, "small-1", interval="200ms")
        # Less than any process with these libraries needs.
        agent.config.write_text(agent.config.read_text().replace("[agent]\n", '[agent]\nmax_memory = "4MiB"\n'))
        agent.start()
        agent.wait_for_log("over its own limit, sampling less often")
        status = agent.status()
        self.assertGreaterEqual(status["self"]["intervals_times"], 2)
        self.assertRegex(status["self"]["thinning_reason"], r"^uses .* of memory, max_memory is 4.0 MiB$")
        cpu = next(source for source in status["sources"] if source["name"] == "cpu")
        self.assertEqual(cpu["interval_s"], 0.2 * status["self"]["intervals_times"])
        rounds = len(agent.sampled("cpu"))
        harness.wait_for(lambda: len(agent.sampled("cpu")) > rounds + 3, "sampling to go on, less often")

        def thinning():
            series = collector.series(metric="ridgeline.agent.thinning")
            return series[0].get("latest", 1) if series else 1
        harness.wait_for(lambda: thinning() > 1, "the collector to know of it")
        self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main()
