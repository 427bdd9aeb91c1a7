"""The histogram of the load tool: what is counted comes back within 0.8 %."""

from __future__ import annotations

import numpy as np
import pytest

from bench.perf.core import histogram as core
from bench.perf.histogram import MIDDLES, SPECTRUM, Histogram
from bench.perf.result import Latency

RELATIVE_ERROR = 1 / 128


def words_of(*values: int) -> np.ndarray:
    words = np.zeros(core.WORDS, np.uint64)
    core.record_many(words, np.array(values, np.uint64))
    return words


@pytest.mark.parametrize("value", [0, 1, 127, 128, 129, 255, 256, 1_000, 123_456_789, 2**40 + 12345, 2**64 - 1])
def test_a_value_is_counted_in_a_bucket_near_it(value: int) -> None:
    assert abs(float(MIDDLES[core.bucket(value)]) - value) <= value * RELATIVE_ERROR


def test_buckets_are_in_the_order_of_their_values() -> None:
    values = [*range(1000), *(2**exponent + offset for exponent in range(10, 64) for offset in (-1, 0, 1))]
    buckets = [core.bucket(value) for value in values]
    assert buckets == sorted(buckets) and buckets[-1] < core.BUCKET_COUNT
    assert core.bucket(2**64 - 1) == core.BUCKET_COUNT - 1


def test_quantiles_of_a_known_distribution() -> None:
    found = Histogram(words_of(*range(1, 10_001)))
    assert found.count == 10_000
    for part, value in zip((0.5, 0.9, 0.99, 0.999), found.quantiles_ns((0.5, 0.9, 0.99, 0.999)), strict=True):
        assert value == pytest.approx(part * 10_000, rel=RELATIVE_ERROR)
    assert found.mean_ns == pytest.approx(5000.5, rel=RELATIVE_ERROR)
    assert found.max_ns == 10_000 and found.quantiles_ns((1.0,)) == [pytest.approx(10_000, rel=RELATIVE_ERROR)]


def test_no_quantile_is_above_the_highest_value() -> None:
    assert Histogram(words_of(1_000_001)).quantiles_ns((0.0, 0.5, 1.0)) == [1_000_001] * 3


def test_the_sum_of_two_and_what_came_after_one() -> None:
    earlier = Histogram(words_of(1_000, 2_000))
    both = Histogram(words_of(1_000, 2_000))
    both.add(words_of(3_000, 4_000, 4_000))
    later = both.since(earlier)
    assert both.count == 5 and later.count == 3
    assert later.quantiles_ns((0.5,))[0] == pytest.approx(4_000, rel=RELATIVE_ERROR)
    assert later.max_ns == pytest.approx(4_000, rel=RELATIVE_ERROR)


def test_nothing_counted_is_no_latency() -> None:
    assert Latency.of(Histogram()) is None
    assert Histogram().quantiles_ns((0.5,)) == [0.0]


def test_a_latency_in_microseconds_with_its_spectrum() -> None:
    found = Latency.of(Histogram(words_of(*[1_000_000] * 99, 50_000_000)))
    assert found is not None
    assert found.p50_us == pytest.approx(1_000, rel=RELATIVE_ERROR) and found.max_us == 50_000
    assert found.p999_us == pytest.approx(50_000, rel=RELATIVE_ERROR)
    assert [part for part, _ in found.spectrum] == list(SPECTRUM)
    values = [value for _, value in found.spectrum]
    assert values == sorted(values)


def test_words_that_are_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="words"):
        core.record_many(np.zeros(core.WORDS - 1, np.uint64), np.array([1], np.uint64))
