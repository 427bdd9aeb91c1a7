"""Warren beside RabbitMQ, and both beside the goals: what the page begins with, and what the README shows."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabulate import tabulate

from bench.page.half_load import below, groups
from bench.page.kept import Kept
from bench.page.measures import Measure, met_text, number, target_text
from bench.page.targets import BASE, CALLS, CHURN_GOALS, GOALS, LATENCIES, NAMES, SIZES, SUBJECT, Goal
from bench.perf.compare import Figures, figures
from bench.perf.output import duration
from bench.perf.plots import plot_versus
from bench.perf.result import Result


@dataclass(frozen=True)
class Versus:
    """One scenario: Warren's figures, and as parts of RabbitMQ's."""

    goal: Goal
    base: Figures
    subject: Figures
    rate: float | None                      # times RabbitMQ's
    cpu: float | None


def versus(results: Sequence[Result]) -> list[Versus]:
    """Of the goals' scenarios, those that both brokers have good runs of."""
    rows = {(row.title, row.name): row for row in figures(results)}
    found = []
    for goal in GOALS:
        base, subject = rows.get((goal.scenario, BASE)), rows.get((goal.scenario, SUBJECT))
        if base is not None and subject is not None and base.good and subject.good:
            found.append(Versus(goal, base, subject, _part(subject.rate, base.rate),
                                _part(subject.cpu_us, base.cpu_us)))
    return found


def _part(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


# -- the page

MB: Final = 1e6
SIZES_TITLE = "### Sizes of bodies\n\nThere is a goal for 64 KiB only. Windows are smaller for larger bodies."
CALLS_TITLE = ("### One after the other\n\nWhat a caller waits for that does nothing else meanwhile: one client (and "
               "one server) on the same machine. There are no goals.")
GOAL_HEADERS = ("scenario", "msgs/s × RabbitMQ", "goal", "LavinMQ", "met", "CPU per message × RabbitMQ", "goal",
                "LavinMQ", "met")
LATENCY_HEADERS = ("at 1,000 msgs/s", "latency", "Warren p50", "RabbitMQ p50", "Warren p99", "RabbitMQ p99",
                   "p50 met", "p99 met")
HALF_HEADERS = ("at half of the maximum", "whose", "msgs/s", "Warren p50", "RabbitMQ p50", "Warren p99",
                "RabbitMQ p99", "met")
CANNOT = "cannot carry it"
SIZE_HEADERS = ("one body", "Warren msgs/s", "MB/s", "× RabbitMQ", "Warren CPU us/msg", "× RabbitMQ", "Warren p99",
                "RabbitMQ p99")
CALL_HEADERS = ("one after the other", "Warren per second", "RabbitMQ", "Warren p50", "RabbitMQ p50", "Warren p99",
                "RabbitMQ p99", "Warren CPU us", "RabbitMQ")
CHURN_HEADERS = ("churn", "per second", "RabbitMQ", "goal", "met")
MEASURE_HEADERS = ("what", "quantity", "measured", "unit", "goal", "met")


def section(kept: Kept, plots: Path, place: str) -> tuple[str, list[Path]]:
    """All goals with what was measured; empty where nothing was."""
    compared = kept.compared
    found = versus(compared)
    tables = [goal_table(found), latency_table(compared), half_table(kept), churn_table(compared),
              measure_table([one for of_file in kept.measures.values() for one in of_file]),
              titled(SIZES_TITLE, size_table(compared)), titled(CALLS_TITLE, call_table(compared))]
    blocks = [table for table in tables if table]
    if not blocks:
        return "", []
    files = []
    if found:
        files.append(plots / "versus.svg")
        plot_versus([(one.goal.scenario, one.rate, one.goal.rate, one.cpu, one.goal.cpu) for one in found], files[-1])
        blocks.insert(1, f"![Warren beside RabbitMQ]({place}/{files[-1].name})")
    return "\n\n".join(blocks), files


def goal_table(found: Sequence[Versus]) -> str:
    lines = [
        (one.goal.label, _ratio(one.rate, 1), f"{one.goal.rate:g}", f"{one.goal.rate_lavinmq:g}",
         met_text(None if one.rate is None else one.rate >= one.goal.rate), _ratio(one.cpu, 3), f"{one.goal.cpu:g}",
         f"{one.goal.cpu_lavinmq:g}", met_text(None if one.cpu is None else one.cpu <= one.goal.cpu))
        for one in found
    ]
    return _table(lines, GOAL_HEADERS)


def latency_table(results: Sequence[Result]) -> str:
    rows = {(row.title, row.name): row for row in figures(results)}
    lines = []
    for scenario, label in LATENCIES:
        ours, theirs = rows.get((scenario, SUBJECT)), rows.get((scenario, BASE))
        if ours is None or theirs is None:
            continue
        for what, values in (
            ("end to end", (ours.p50_us, theirs.p50_us, ours.p99_us, theirs.p99_us)),
            ("confirm", (ours.confirm_p50_us, theirs.confirm_p50_us, ours.confirm_p99_us, theirs.confirm_p99_us)),
        ):
            lines.append((label, what, *map(_duration, values), _no_higher(*values[:2]), _no_higher(*values[2:])))
    return _table(lines, LATENCY_HEADERS)


def half_table(kept: Kept) -> str:
    lines = []
    for results in kept.half_loads.values():
        for scenario, owner, rate, rows in groups(results):
            by_name = {row.name: row for row in rows}
            ours, theirs = by_name.get(SUBJECT), by_name.get(BASE)
            if ours is None or (owner == BASE and theirs is None):
                continue
            lines.append((
                scenario, NAMES[owner], f"{rate:,.0f}", _duration(ours.p50_us),
                _duration(theirs.p50_us) if theirs else CANNOT, _duration(ours.p99_us),
                _duration(theirs.p99_us) if theirs else CANNOT, met_text(below(ours, theirs))))
    return _table(lines, HALF_HEADERS)


def size_table(results: Sequence[Result]) -> str:
    """Without goals; the scenarios with larger and smaller bodies than `big`."""
    rows = {(row.title, row.name): row for row in figures(results)}
    lines = []
    for scenario, size, label in SIZES:
        ours, theirs = rows.get((scenario, SUBJECT)), rows.get((scenario, BASE))
        if ours is None or ours.rate is None:
            continue
        lines.append((
            label, number(ours.rate), number(ours.rate * size / MB),
            _ratio(_part(ours.rate, theirs.rate if theirs else None), 1), _number(ours.cpu_us, 1),
            _ratio(_part(ours.cpu_us, theirs.cpu_us if theirs else None), 2), _duration(ours.p99_us),
            _duration(theirs.p99_us if theirs else None)))
    return _table(lines, SIZE_HEADERS) if len(lines) > 1 else ""


def call_table(results: Sequence[Result]) -> str:
    """Without goals."""
    rows = {(row.title, row.name): row for row in figures(results)}
    lines = []
    for call in CALLS:
        ours, theirs = (rows.get((call.scenario, name)) for name in (SUBJECT, BASE))
        if ours is None or ours.rate is None:
            continue
        lines.append((
            call.label, number(ours.rate), number(theirs.rate if theirs else None), _duration(ours.p50_us),
            _duration(theirs.p50_us if theirs else None), _duration(ours.p99_us),
            _duration(theirs.p99_us if theirs else None), _number(ours.cpu_us, 1),
            _number(theirs.cpu_us if theirs else None, 1)))
    return _table(lines, CALL_HEADERS)


def titled(title: str, table: str) -> str:
    """Nothing, where there is no table."""
    return f"{title}\n\n{table}" if table else ""


def churn_table(results: Sequence[Result]) -> str:
    rows = {(row.title, row.name): row for row in figures(results)}
    lines = []
    for goal in CHURN_GOALS:
        ours, theirs = rows.get((goal.scenario, SUBJECT)), rows.get((goal.scenario, BASE))
        if ours is not None and ours.rate is not None:
            lines.append((goal.label, number(ours.rate), number(theirs.rate if theirs else None), f"{goal.rate:,.0f}",
                          met_text(ours.rate >= goal.rate)))
    return _table(lines, CHURN_HEADERS)


def measure_table(measures: Sequence[Measure]) -> str:
    """Those that there is a goal for."""
    lines = [(one.subject, one.quantity, number(one.value), one.unit, target_text(one), met_text(one.met))
             for one in measures if one.limit is not None]
    return _table(lines, MEASURE_HEADERS)


def _table(lines: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    if not lines:
        return ""
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True,
                    colalign=("left", *["right"] * (len(headers) - 1)))


def _no_higher(ours: float | None, theirs: float | None) -> str:
    return met_text(None if ours is None or theirs is None else ours <= theirs)


def _ratio(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _duration(value: float | None) -> str:
    return "-" if value is None else duration(value)
