"""A mistake in a configuration is refused with its place and what was probably meant; exit code 2."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import binary


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ridgeline-test-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def check(self, program, text, command="check"):
        self.file = self.directory / f"{program}.toml"
        self.file.write_text(text, encoding="utf-8")
        return subprocess.run([binary(program), command, "-c", str(self.file)], capture_output=True, text=True,
                              timeout=20)

    def assert_refused(self, done, line, column, *words):
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(f"{self.file}:{line}:{column}: ", done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_agent_names_place_and_nearest_key(self):
        done = self.check("ridgeline-agent", '[agent]\nhost_id = "a"\nintervall = "1s"\n')
        self.assert_refused(done, 3, 1, '"intervall"', '"interval"')

    def test_collector_names_place_and_nearest_key(self):
        done = self.check("ridgeline-collector", f'[storage]\npath = "{self.directory}"\n  max_sise = "1GiB"\n')
        self.assert_refused(done, 3, 3, '"max_sise"', '"max_size"')

    def test_limits_have_bounds_of_their_own(self):
        done = self.check("ridgeline-collector", '[limits]\nconnections = 0\nburst = "0s"\nsamples_per_sec = 5\n')
        self.assert_refused(done, 2, 15, "connections")
        self.assert_refused(done, 3, 9, "burst")
        self.assert_refused(done, 4, 1, '"samples_per_sec"', '"samples_per_second"')

    def test_run_refuses_what_check_refuses(self):
        self.assert_refused(self.check("ridgeline-agent", '[agent]\nintervall = "1s"\n', "run"), 2, 1, '"interval"')
        self.assert_refused(self.check("ridgeline-collector", '[lisen]\n', "run"), 1, 2, '"listen"')

    def test_every_mistake_is_named_at_once(self):
        done = self.check("ridgeline-agent", '[agent]\ninterval = "fast"\n[spool]\nmax_size = "1B"\npaht = "/x"\n')
        self.assertEqual(done.returncode, 2)
        for line in (2, 4, 5):
            self.assertIn(f"{self.file}:{line}:", done.stderr)

    def test_broken_toml_and_a_missing_file_are_refused(self):
        self.assert_refused(self.check("ridgeline-agent", "[agent\n"), 1, 7)
        self.file.unlink()
        for program in ("ridgeline-agent", "ridgeline-collector"):
            missing = subprocess.run([binary(program), "check", "-c", "/nonexistent.toml"], capture_output=True, text=True)
            self.assertEqual(missing.returncode, 2)
            self.assertIn("/nonexistent.toml", missing.stderr)

    def test_collector_checks_its_rules_too(self):
        rules = self.directory / "rules.d"
        rules.mkdir()
        (rules / "own.toml").write_text('[[rule]]\nid = "x"\nmetric = "system.cpu.utilisation"\nop = ">"\n'
                                        'levels = [{ at = "80%", severity = "P3" }]\n', encoding="utf-8")
        done = self.check("ridgeline-collector", f'[rules]\npackaged = "/nonexistent"\npath = "{rules}"\n')
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{rules}/own.toml:3:10: ", done.stderr)
        self.assertIn("system.cpu.utilization", done.stderr)

    def test_what_is_right_is_accepted(self):
        good_agent = self.check("ridgeline-agent", '[agent]\nhost_id = "a"\n[source.cpu]\nenabled = false\n')
        self.assertEqual((good_agent.returncode, good_agent.stderr), (0, ""))
        good_collector = self.check("ridgeline-collector",
                                    '[rules]\npackaged = "/nonexistent"\npath = "/nonexistent"\n')
        self.assertEqual((good_collector.returncode, good_collector.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
