"""Results made by hand, for what is done with results."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.perf.core import histogram as core
from bench.perf.histogram import Histogram
from bench.perf.load import Load
from bench.perf.result import BrokerUse, GeneratorUse, Latency, Rates, Result, Series, Verification

MIB = 1 << 20


def latency(*microseconds: int) -> Latency:
    words = np.zeros(core.WORDS, np.uint64)
    core.record_many(words, np.array([1000 * value for value in microseconds], np.uint64))
    found = Latency.of(Histogram(words))
    assert found is not None
    return found


def result(name: str, rate: float, *, scenario: str = "confirm", repetition: int = 0, **more: Any) -> Result:
    return Result(**{
        "scenario": scenario,
        "name": name,
        "repetition": repetition,
        "broker": "Broker 1.0",
        "place": "127.0.0.1:5672",
        "options": Load(confirm=10, queue_prefix="p").model_dump(mode="json"),
        "rates": Rates(publish=rate * 2, confirm=rate * 2, deliver=rate),
        "latency": latency(100, 150, 25_000),
        "verification": Verification(checked=True, expected=3),
        "broker_use": BrokerUse(
            cpu_s=1.0, cpu_cores=1.5, cpu_us_per_message=2.5, rss_peak_bytes=200 * MIB, pss_peak_bytes=100 * MIB),
        "generator": GeneratorUse(processes=2, cpu_s=0.5, busiest_process=0.25),
        "series": Series(t_s=[0.1, 0.2], publish=[1, 2], confirm=[1, 2], deliver=[1, 2], acknowledge=[0, 0]),
        **more,
    })
