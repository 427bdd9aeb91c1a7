"""Telling duplicates in bounded memory, against a plain set."""

from __future__ import annotations

import random

import pytest

from bench.perf.core.arrivals import Arrivals

WINDOW_BITS_MAX = 1 << 24


def test_numbers_in_order_need_no_memory() -> None:
    stream = Arrivals()
    assert not any(stream.arrived_before(number) for number in range(10_000))
    assert stream.base == 10_000 and stream.memory_bytes == 0
    assert stream.arrived_before(0) and stream.arrived_before(9_999)


@pytest.mark.parametrize("seed", range(8))
def test_as_a_set_would_tell_it(seed: int) -> None:
    chance = random.Random(seed)
    base = chance.choice([0, 7, 1 << 40])
    stream, seen = Arrivals(base), set[int]()
    waiting = [base + number for number in range(5_000)]
    for start in range(0, len(waiting), 700):           # late ones, early ones, and some of them twice
        part = waiting[start : start + 700]
        chance.shuffle(part)
        waiting[start : start + 700] = part
    for number in waiting + chance.choices(waiting, k=500):
        for copy in range(chance.choice([1, 1, 1, 2])):
            assert stream.arrived_before(number) == (number in seen or copy > 0)
            seen.add(number)
    assert stream.base == base + 5_000


def test_behind_a_gap_every_number_is_known() -> None:
    stream = Arrivals()
    assert not any(stream.arrived_before(number) for number in range(1, 100_000))
    assert stream.base == 0 and 0 < stream.memory_bytes <= 2 * 100_000 / 8
    assert all(stream.arrived_before(number) for number in range(1, 100_000, 997))
    assert not stream.arrived_before(0)
    assert stream.base == 100_000


def test_a_gap_that_is_too_old_is_given_up() -> None:
    stream = Arrivals()
    far = WINDOW_BITS_MAX + 5
    assert not stream.arrived_before(3)
    assert not stream.arrived_before(far)
    assert stream.base == far - WINDOW_BITS_MAX // 2 and stream.given_up == stream.base - 1
    assert stream.memory_bytes == WINDOW_BITS_MAX // 8
    assert stream.arrived_before(far)
    assert not stream.arrived_before(5), "it may be one that was given up"
    assert not stream.arrived_before(1 << 47)
    assert stream.memory_bytes == WINDOW_BITS_MAX // 8
