"""The state of a run at one moment, and what two of them come to: rates, and what broker and load used in between."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bench.perf.processes import Memory
from bench.perf.result import BrokerUse, GeneratorUse, Rates

LAST_OF: Final = {
    "published": "last_publish_ns",
    "confirmed": "last_confirm_ns",
    "delivered": "last_delivery_ns",
    "acknowledged": "last_delivery_ns",
    "cycles": "last_cycle_ns",
    "replied": "last_reply_ns",
}
"""The counters that rates are of, and when each was last changed."""
NS: Final = 1_000_000_000
US: Final = 1e6


@dataclass
class Snapshot:
    """Everything at one moment."""

    at_ns: int
    totals: dict[str, int]
    broker_cpu_s: float
    broker_cpu_by_title: dict[str, float]
    workers_cpu_s: list[float] = field(default_factory=list)


def rates_of(begin: Snapshot, end: Snapshot, by_clock: bool) -> Rates:
    """By the clock over the window; with a count up to the end of each activity."""
    ends = dict.fromkeys(LAST_OF, end.at_ns)
    if not by_clock:
        for name, latest in LAST_OF.items():
            last_ns = end.totals[latest]
            ends[name] = last_ns if begin.at_ns < last_ns < end.at_ns else end.at_ns
    rates = {name: _rate(end.totals[name] - begin.totals[name], ends[name] - begin.at_ns) for name in ends}
    return Rates(publish=rates["published"], confirm=rates["confirmed"], deliver=rates["delivered"],
                 acknowledge=rates["acknowledged"], cycle=rates["cycles"],
                 reply=rates["replied"])


def broker_use(begin: Snapshot, end: Snapshot, peak: Memory, counted: str) -> BrokerUse:
    """In between; a message is what is `counted`."""
    cpu_s = end.broker_cpu_s - begin.broker_cpu_s
    window_s = (end.at_ns - begin.at_ns) / NS
    messages = end.totals[counted] - begin.totals[counted]
    return BrokerUse(
        cpu_s=round(cpu_s, 3),
        cpu_cores=round(cpu_s / window_s, 3) if window_s else 0.0,
        cpu_us_per_message=round(cpu_s * US / messages, 3) if messages else None,
        rss_peak_bytes=peak.rss_bytes,
        pss_peak_bytes=peak.pss_bytes,
        cpu_s_by_process={
            name: round(used - begin.broker_cpu_by_title.get(name, 0.0), 4)
            for name, used in end.broker_cpu_by_title.items()
        },
    )


def generator_use(begin: Snapshot, end: Snapshot) -> GeneratorUse:
    """In between."""
    used = [later - earlier for earlier, later in zip(begin.workers_cpu_s, end.workers_cpu_s, strict=True)]
    window_s = (end.at_ns - begin.at_ns) / NS
    return GeneratorUse(
        processes=len(used),
        cpu_s=round(sum(used), 3),
        busiest_process=round(max(used) / window_s, 3) if window_s else 0.0,
    )


def _rate(count: int, took_ns: int) -> float:
    return round(count * NS / took_ns, 1) if took_ns > 0 else 0.0


def rates_between(earlier: dict[str, int], later: dict[str, int], took_s: float) -> Rates:
    """Of two states of the totals."""
    took_ns = int(took_s * NS)
    return Rates(
        publish=_rate(later["published"] - earlier["published"], took_ns),
        confirm=_rate(later["confirmed"] - earlier["confirmed"], took_ns),
        deliver=_rate(later["delivered"] - earlier["delivered"], took_ns),
        acknowledge=_rate(later["acknowledged"] - earlier["acknowledged"], took_ns),
        cycle=_rate(later["cycles"] - earlier["cycles"], took_ns),
        reply=_rate(later["replied"] - earlier["replied"], took_ns),
    )
