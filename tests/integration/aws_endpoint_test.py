"""Our endpoints are those of botocore's own rules: every region it knows, with and without FIPS and dual-stack."""

import json
import os
import subprocess
import tempfile
import unittest

import botocore.endpoint_provider
import botocore.exceptions
import botocore.loaders

from harness import binary

LOADER = botocore.loaders.Loader()
PARTITIONS = LOADER.load_data("partitions")
# Newer rule sets than Debian 12's botocore has know that GovCloud's dual-stack endpoint of CloudWatch is the FIPS one.
NEWER = {"https://monitoring-fips.us-gov-west-1.api.aws": "https://monitoring.us-gov-west-1.api.aws",
         "https://monitoring-fips.us-gov-east-1.api.aws": "https://monitoring.us-gov-east-1.api.aws"}


def expected(service, region, fips, dual_stack):
    rules = LOADER.load_service_model(service, "endpoint-rule-set-1")
    known = {p: v for p, v in {"Region": region, "UseFIPS": fips, "UseDualStack": dual_stack,
                               "UseGlobalEndpoint": False}.items() if p in rules["parameters"]}
    try:
        url = botocore.endpoint_provider.EndpointProvider(rules, PARTITIONS).resolve_endpoint(**known).url
    except botocore.exceptions.EndpointProviderError:
        return None
    return NEWER.get(url, url)


class AwsEndpointTest(unittest.TestCase):
    def ours(self, region, fips, dual_stack):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "HOME"}
        environment = {**kept, "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": region,
                       "AWS_USE_FIPS_ENDPOINT": str(fips).lower(), "AWS_USE_DUALSTACK_ENDPOINT": str(dual_stack).lower()}
        with tempfile.NamedTemporaryFile(suffix=".toml") as empty:
            done = subprocess.run([binary("ridgeline-collector"), "aws", "whoami", "--json", "-c", empty.name],
                                  capture_output=True, text=True, timeout=30, env=environment)
        self.assertEqual(done.returncode, 1, done.stderr)  # no credentials; the endpoints are told all the same
        said = json.loads(done.stdout)
        return said["endpoint"], said["sts_endpoint"]

    def test_every_region_and_flag(self):
        regions = [region for partition in PARTITIONS["partitions"] for region in partition["regions"]
                   if not region.endswith("-global")]
        self.assertGreater(len(regions), 25)
        for region in regions:
            for fips in (False, True):
                for dual_stack in (False, True):
                    with self.subTest(region=region, fips=fips, dual_stack=dual_stack):
                        self.assertEqual(self.ours(region, fips, dual_stack),
                                         tuple(expected(s, region, fips, dual_stack) for s in ("cloudwatch", "sts")))


if __name__ == "__main__":
    unittest.main()
