"""How much the fuzz tests try. A failure prints how to repeat it.

Without a word they try the same inputs each time, so that a test run is what it was the last time; fewer of them
over the sanitized core, which is slow.
WARREN_FUZZ_EXAMPLES=n tries n new inputs per test.
"""
import os

from hypothesis import HealthCheck, settings

EXAMPLES_DEFAULT = 40 if "asan" in os.environ.get("LD_PRELOAD", "") else 150

examples = os.environ.get("WARREN_FUZZ_EXAMPLES")

settings.register_profile(
    "fuzz",
    max_examples=int(examples or EXAMPLES_DEFAULT),
    derandomize=not examples,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fuzz")
