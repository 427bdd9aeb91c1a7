"""How much the fuzz tests try: WARREN_FUZZ_EXAMPLES per test. A failure prints how to repeat it."""
import os

from hypothesis import HealthCheck, settings

EXAMPLES_DEFAULT = 150

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("WARREN_FUZZ_EXAMPLES", EXAMPLES_DEFAULT)),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fuzz")
