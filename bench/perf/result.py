"""What a run found: the raw result, as it is kept in JSON and read again by `compare` and the results page.

Rates are per second, latencies in microseconds, memory in bytes. Every number says what it is in its name.
"""
from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.perf.histogram import SPECTRUM, Histogram

NS_PER_US = 1e3


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Record):
    """Of a histogram."""

    count: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    spectrum: list[tuple[float, float]]     # (part of the messages, microseconds that they stayed below)

    @classmethod
    def of(cls, histogram: Histogram) -> Latency | None:
        """None where nothing was counted."""
        if not histogram.count:
            return None
        p50, p90, p99, p999 = (value / NS_PER_US for value in histogram.quantiles_ns((0.5, 0.9, 0.99, 0.999)))
        values = histogram.quantiles_ns(SPECTRUM)
        return cls(
            count=histogram.count,
            mean_us=round(histogram.mean_ns / NS_PER_US, 1),
            p50_us=round(p50, 1),
            p90_us=round(p90, 1),
            p99_us=round(p99, 1),
            p999_us=round(p999, 1),
            max_us=round(histogram.max_ns / NS_PER_US, 1),
            spectrum=[(part, round(value / NS_PER_US, 1)) for part, value in zip(SPECTRUM, values, strict=True)],
        )


class Rates(_Record):
    """Messages per second in the window, or, with a count, until the last of them."""

    publish: float = 0.0
    confirm: float = 0.0
    deliver: float = 0.0
    acknowledge: float = 0.0
    cycle: float = 0.0                      # of a churn
    reply: float = 0.0                      # requests that were answered: by servers, or basic.get by the broker


class Verification(_Record):
    """What was checked. Everything but `expected` and `redelivered` has to be 0."""

    checked: bool                           # whether deliveries could be checked one by one
    expected: int = 0                       # deliveries that the bindings require, less nacked messages
    missing: int = 0
    duplicates: int = 0
    out_of_order: int = 0                   # of one producer, at one consumer of one queue; not of redelivered ones
    misrouted: int = 0                      # on a queue that the message was not meant for
    foreign: int = 0                        # not from this run
    bad_confirms: int = 0                   # confirmed twice, or never published
    unconfirmed: int = 0                    # or, of requests, not answered
    redelivered: int = 0
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return not (self.missing or self.duplicates or self.out_of_order or self.misrouted or self.foreign
                    or self.bad_confirms or self.unconfirmed or self.timed_out)


class BrokerUse(_Record):
    """What the broker's processes used in the window."""

    cpu_s: float
    cpu_cores: float
    cpu_us_per_message: float | None        # per delivery where there are consumers, else per publish; per basic.get
    rss_peak_bytes: int
    pss_peak_bytes: int                     # 0: not to be seen
    cpu_s_by_process: dict[str, float] = {}


class GeneratorUse(_Record):
    """What the load itself used."""

    processes: int
    cpu_s: float
    busiest_process: float                  # part of a core; near 1 the load, not the broker, was the limit


class Series(_Record):
    """Over time: `t_s` is the end of each interval, from the start of the load."""

    t_s: list[float] = []
    publish: list[float] = []               # per second, as all of these
    confirm: list[float] = []
    deliver: list[float] = []
    acknowledge: list[float] = []
    cycle: list[float] = []
    reply: list[float] = []


class Result(_Record):
    format: int = 1
    scenario: str | None = None
    step: str | None = None                 # fill or drain, where a run has both
    name: str = ""                          # of the broker, in a comparison
    repetition: int = 0
    started_at: str = ""
    broker: str = ""                        # product and version, as it says
    place: str = ""                         # host and port
    options: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    setup: dict[str, Any] = {}              # of a broker that was started for the run, see scaling.py
    error: str | None = None                # then nothing below is meant
    interrupted: bool = False
    window_s: float = 0.0
    drain_s: float = 0.0                    # from the end of publishing to the last delivery
    totals: dict[str, int] = {}
    left_in_queues: int = 0
    rates: Rates = Rates()
    latency: Latency | None = None
    confirm_latency: Latency | None = None
    reply_latency: Latency | None = None    # round trips of requests
    verification: Verification = Verification(checked=False)
    broker_use: BrokerUse | None = None
    generator: GeneratorUse | None = None
    series: Series = Series()

    @property
    def ok(self) -> bool:
        return self.error is None and self.verification.ok

    @property
    def rate(self) -> float:
        """The one that counts: of deliveries where there are consumers, of questions where these ask for each."""
        if self.rates.cycle:
            return self.rates.cycle
        if self.options.get("polling"):
            return self.rates.reply
        return self.rates.deliver if self.options.get("consumers") else self.rates.publish

    @property
    def shown_latency(self) -> Latency | None:
        return self.reply_latency or self.latency or self.confirm_latency
