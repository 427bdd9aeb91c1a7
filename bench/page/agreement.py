"""Two load tools on one broker: do they find the same?

Raw: a list of runs, as tools/agreement.py writes it. Tools agree where the medians of their runs differ by 10 % at
most: in messages per second and the broker's CPU time per message, and under a fixed rate in latency too. Without a
rate the latency is the depth of the queues that the tool keeps filled, so it is not compared. A load that has no broker
behind it, only one that answers (`nullbroker`), shows what the tool itself can do.
"""
from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict
from tabulate import tabulate

TOOLS: Final = ("warren perf", "amqpload")
NULL_BROKER: Final = "nullbroker"
DIFFERENCE_MAX: Final = 0.10
NEAR_US: Final = 15.0
"""Latencies that differ by less are called equal: it is what one wake-up of a sleeping thread takes here."""


class ToolRun(BaseModel):
    """One run of one tool; microseconds, and messages per second."""

    model_config = ConfigDict(extra="forbid")

    tool: str
    broker: str = ""
    scenario: str = ""                      # with its step
    repetition: int = 0
    paced: bool = False                     # at a fixed rate, so that latencies may be compared
    rate: float = 0.0
    cpu_us: float | None = None             # of the broker, per message
    p50_us: float | None = None
    p99_us: float | None = None
    confirm_p50_us: float | None = None
    confirm_p99_us: float | None = None
    generator_us: float = 0.0               # CPU of the load, per message published or delivered
    generator_busiest: float = 0.0          # part of a core
    error: str | None = None


@dataclass(frozen=True)
class Pair:
    """Medians of both tools' good runs in one scenario on one broker, in the order of TOOLS."""

    broker: str
    scenario: str
    paced: bool
    runs: tuple[Sequence[ToolRun], Sequence[ToolRun]]

    def medians(self, name: str) -> tuple[float | None, float | None]:
        ours, theirs = (_median(runs, name) for runs in self.runs)
        return ours, theirs

    def ratio(self, name: str) -> float | None:
        """Of ours to theirs."""
        ours, theirs = self.medians(name)
        return ours / theirs if ours is not None and theirs else None

    def spread(self, name: str) -> float:
        """Of the tools' own runs, the wider one: highest less lowest, as a part of the median."""
        spreads = []
        for runs in self.runs:
            values = [value for run in runs if (value := getattr(run, name)) is not None]
            middle = statistics.median(values) if values else 0.0
            spreads.append((max(values) - min(values)) / middle if middle else 0.0)
        return max(spreads)

    @property
    def compared(self) -> list[str]:
        latencies = ["p50_us", "p99_us"] if self.paced else []
        return ["rate", "cpu_us", *latencies]

    @property
    def differences(self) -> list[str]:
        """Of what is compared, what differs by more than it may."""
        return [name for name in self.compared if not self._agrees(name)]

    @property
    def verdict(self) -> str:
        """A difference that is no larger than that between runs of one and the same tool says nothing."""
        if not self.differences:
            return "yes"
        real = [name for name in self.differences if abs((self.ratio(name) or 0.0) - 1) > self.spread(name)]
        names = ", ".join(name.removesuffix("_us") for name in real or self.differences)
        return f"no: {names}" if real else f"runs differ more: {names}"

    def _agrees(self, name: str) -> bool:
        ours, theirs = self.medians(name)
        if ours is None or theirs is None:
            return ours is theirs
        if name.endswith("_us") and name != "cpu_us" and abs(ours - theirs) <= NEAR_US:
            return True
        return abs(ours - theirs) <= DIFFERENCE_MAX * theirs


def _median(runs: Sequence[ToolRun], name: str) -> float | None:
    values = [value for run in runs if (value := getattr(run, name)) is not None]
    return statistics.median(values) if values else None


def pairs(runs: Iterable[ToolRun]) -> list[Pair]:
    """What both tools have good runs of, in the order in which it was run."""
    groups: dict[tuple[str, str], dict[str, list[ToolRun]]] = {}
    for run in runs:
        if run.error is None:
            groups.setdefault((run.broker, run.scenario), {}).setdefault(run.tool, []).append(run)
    found = []
    for (broker, scenario), by_tool in groups.items():
        if all(tool in by_tool for tool in TOOLS):
            ours, theirs = (by_tool[tool] for tool in TOOLS)
            found.append(Pair(broker, scenario, ours[0].paced, (ours, theirs)))
    return found


# -- as text

AGREEMENT_HEADERS: Final = ("broker", "scenario", "msgs/s", "amqpload", "ratio", "spread", "CPU us/msg", "amqpload",
                            "ratio", "p50 us", "amqpload", "p99 us", "amqpload", "agrees")
LIMIT_HEADERS: Final = ("scenario", "msgs/s", "amqpload", "ratio", "load CPU us/msg", "amqpload", "ratio")


def agreement_table(found: Sequence[Pair], tablefmt: str = "simple") -> str:
    """A line for each scenario on a real broker."""
    lines = []
    for pair in found:
        latencies = [*pair.medians("p50_us"), *pair.medians("p99_us")] if pair.paced else [None] * 4
        lines.append((
            pair.broker, pair.scenario, *_both(pair, "rate", 0), f"{pair.spread('rate'):.0%}",
            *_both(pair, "cpu_us", 2), *(_number(value, 0) for value in latencies),
            pair.verdict,
        ))
    return _table(lines, AGREEMENT_HEADERS, 2, tablefmt)


def limit_table(found: Sequence[Pair], tablefmt: str = "simple") -> str:
    """What the tools themselves can do."""
    lines = [(pair.scenario, *_both(pair, "rate", 0), *_both(pair, "generator_us", 3)) for pair in found]
    return _table(lines, LIMIT_HEADERS, 1, tablefmt)


def text(runs: Sequence[ToolRun], tablefmt: str = "simple") -> str:
    """Both tables, and what failed."""
    found = pairs(runs)
    real = [pair for pair in found if pair.broker != NULL_BROKER]
    null = [pair for pair in found if pair.broker == NULL_BROKER]
    blocks = []
    if real:
        blocks.append(agreement_table(real, tablefmt))
    if null:
        blocks.append(limit_table(null, tablefmt))
    failed = [f"- {run.scenario} on {run.broker} with {run.tool}: {run.error}" for run in runs if run.error is not None]
    if failed:
        blocks.append("Runs that count in no median:\n\n" + "\n".join(failed))
    return "\n\n".join(blocks) or "there is no scenario that both tools have a good run of"


def _both(pair: Pair, name: str, digits: int) -> tuple[str, str, str]:
    ours, theirs = pair.medians(name)
    ratio = pair.ratio(name)
    return _number(ours, digits), _number(theirs, digits), _number(ratio, 2)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _table(lines: Sequence[Sequence[str]], headers: Sequence[str], left: int, tablefmt: str) -> str:
    return tabulate(lines, headers=headers, tablefmt=tablefmt, disable_numparse=True,
                    colalign=("left",) * left + ("right",) * (len(headers) - left))


# -- raw

def to_json(runs: Sequence[ToolRun]) -> bytes:
    """One on each line."""
    return b"[\n" + b",\n".join(orjson.dumps(run.model_dump(exclude_defaults=True)) for run in runs) + b"\n]\n"


def from_documents(documents: Iterable[dict[str, Any]]) -> list[ToolRun]:
    """ValueError for what is none."""
    return [ToolRun.model_validate(document) for document in documents]
