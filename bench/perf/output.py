"""Results as text for people, as JSON and as CSV for programs."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from tabulate import tabulate

from bench.perf.machine import described
from bench.perf.result import BrokerUse, Latency, Rates, Result, Verification
from bench.perf.run import Progress

MIB: Final = 1 << 20
NS_PER_S: Final = 1e9
RATE_REACHED: Final = 0.95
"""Of the rate asked for: with less, broker or load could not carry it."""
BUSY: Final = 0.9
"""Of a core: a worker above it may have been the limit."""
EVENTS: Final = ("nacked", "returned", "redelivered", "empty")
OPTIONS_NOT_TOLD: Final = frozenset({"queue_prefix", "drain_timeout_s", "keep", "purge", "mode", "verify"})
OPTIONS_OF_CHURN: Final = frozenset({
    "churn", "producers", "processes", "seconds", "warmup_s", "count", "durable", "queue_type",
    "queue_arguments",
})
CSV_COLUMNS: Final = (
    "scenario", "step", "name", "repetition", "started_at", "broker", "ok", "error", "window_s", "publish_per_s",
    "confirm_per_s", "deliver_per_s", "acknowledge_per_s", "latency_p50_us", "latency_p90_us", "latency_p99_us",
    "latency_p999_us", "latency_max_us", "confirm_latency_p50_us", "confirm_latency_p99_us", "confirm_latency_max_us",
    "reply_latency_p50_us", "reply_latency_p99_us", "reply_latency_max_us",
    "broker_cpu_us_per_message", "broker_cpu_cores", "broker_rss_peak_bytes", "broker_pss_peak_bytes", "expected",
    "missing", "duplicates", "out_of_order", "generator_busiest_process", "cycle_per_s", "reply_per_s",
)


# -- for people

def text(result: Result) -> str:
    """All that a person wants to know of a run."""
    if result.error is not None:
        return f"failed: {result.error}"
    blocks = [_head(result), rates_text(result.rates)]
    latencies = [("cycle" if result.rates.cycle else "end to end", result.latency), ("confirm", result.confirm_latency),
                 ("basic.get" if result.options.get("polling") else "round trip", result.reply_latency)]
    if any(found is not None for _, found in latencies):
        blocks.append(latency_text(latencies))
    if result.broker_use is not None:
        blocks.append(_broker_text(result.broker_use))
    if events := events_text(result.totals):
        blocks.append(events)
    blocks.append(verification_text(result))
    if result.generator is not None and result.generator.busiest_process > BUSY:
        blocks.append(f"warning: a process of the load was {result.generator.busiest_process:.0%} busy: it may have "
                      "been the limit; give --processes")
    asked = (result.options.get("rate") or 0.0) * (result.options.get("producers") or 0)
    if asked and result.rates.publish < RATE_REACHED * asked:
        blocks.append(f"warning: {asked:,.0f} messages a second were asked for, {result.rates.publish:,.0f} were "
                      "published: latencies count from when a message was due")
    return "\n\n".join(blocks)


def _head(result: Result) -> str:
    kept = OPTIONS_OF_CHURN if result.options.get("churn") else result.options.keys() - OPTIONS_NOT_TOLD
    options = ", ".join(f"{name.removesuffix('_s')} {_option(value)}" for name, value in result.options.items()
                        if value not in (None, False, 0, {}, "") and name in kept
                        and (name != "requests" or result.options.get("rpc")))
    title = " ".join(filter(None, (result.scenario, result.step)))
    lines = [("scenario", title)] if title else []
    lines += [("broker", f"{result.broker} at {result.place}"), ("load", options),
              ("machine", described(result.machine) if result.machine else "")]
    return "\n".join(f"{name:9} {value}" for name, value in lines if value)


def _option(value: Any) -> str:
    return "yes" if value is True else orjson.dumps(value).decode() if isinstance(value, dict) else str(value)


def rates_text(rates: Rates) -> str:
    rows = [(name, f"{value:,.0f}") for name, value in rates.model_dump().items() if value]
    return tabulate(rows, headers=("", "per second"), tablefmt="simple", colalign=("left", "right"),
                    disable_numparse=True) if rows else "no messages"


def latency_text(latencies: Iterable[tuple[str, Latency | None]]) -> str:
    rows = [
        (name, f"{found.count:,}", *map(duration, (found.p50_us, found.p90_us, found.p99_us, found.p999_us,
                                                  found.max_us)))
        for name, found in latencies if found is not None
    ]
    return tabulate(rows, headers=("latency", "count", "p50", "p90", "p99", "p99.9", "max"), tablefmt="simple",
                    colalign=("left", *["right"] * 6), disable_numparse=True)


def duration(microseconds: float) -> str:
    """With the unit that leaves few digits."""
    if microseconds < 10_000:
        return f"{microseconds:,.0f} us"
    if microseconds < 10_000_000:
        return f"{microseconds / 1e3:,.1f} ms"
    return f"{microseconds / 1e6:,.1f} s"


def _broker_text(use: BrokerUse) -> str:
    per_message = "" if use.cpu_us_per_message is None else f"{use.cpu_us_per_message:.2f} us CPU per message, "
    pss = f", PSS {use.pss_peak_bytes / MIB:,.0f} MiB" if use.pss_peak_bytes else ""
    return f"broker    {per_message}{use.cpu_cores:.2f} cores, RSS {use.rss_peak_bytes / MIB:,.0f} MiB{pss} at most"


def events_text(totals: dict[str, int]) -> str:
    """What the broker did that is no fault, but not everyday either; empty where there was none."""
    counted = [f"{totals[name]:,} {name}" for name in EVENTS if totals.get(name)]
    if totals.get("blocked_events"):
        blocked_s = totals["blocked_ns"] / NS_PER_S
        counted.append(f"connections blocked {totals['blocked_events']:,} times, {blocked_s:,.1f} s in all")
    return f"events    {', '.join(counted)}" if counted else ""


def verification_text(result: Result) -> str:
    found = result.verification
    if found.ok:
        checked = ("every cycle was answered" if result.options.get("churn") else
                   "every request arrived and was answered, once and in order" if result.options.get("rpc")
                   else "every message arrived, once and in order" if found.checked and result.options.get("consumers")
                   else "all that was sent was answered" if result.options.get("confirm")
                   else "nothing to be checked" if not result.options.get("consumers")
                   else "every message arrived (without a stamp, which a larger --size has, nothing more is checked)")
        more = f"; {result.left_in_queues:,} left in the queues" if result.left_in_queues else ""
        return f"verification ok: {checked}{more}"
    return "verification FAILED: " + ", ".join(faults(found))


def faults(found: Verification) -> list[str]:
    """What was wrong, each with its number."""
    counted = [f"{getattr(found, name):,} {name.replace('_', ' ')}" for name in (
        "missing", "duplicates", "out_of_order", "misrouted", "foreign", "bad_confirms", "unconfirmed",
    ) if getattr(found, name)]
    return counted + (["nothing came any more before the end (--drain-timeout)"] if found.timed_out else [])


def progress_text(progress: Progress) -> str:
    """One line."""
    rates = progress.rates
    parts = [f"{progress.at_s:6.0f} s"]
    parts += [f"{name} {value:>11,.0f}/s" for name, value in rates.model_dump().items() if value]
    if progress.latency is not None:
        parts.append(f"p50 {duration(progress.latency.p50_us)} p99 {duration(progress.latency.p99_us)}")
    if progress.blocked:
        parts.append(f"{progress.blocked} blocked by the broker")
    if progress.cpu_cores is not None:
        parts.append(f"{progress.cpu_cores:.2f} cores")
    if progress.memory is not None:
        parts.append(f"{(progress.memory.pss_bytes or progress.memory.rss_bytes) / MIB:,.0f} MiB")
    return "  ".join(parts)


# -- for programs

def to_json(results: Sequence[Result]) -> bytes:
    """A list of raw results, one on each line."""
    return b"[\n" + b",\n".join(orjson.dumps(result.model_dump(mode="json")) for result in results) + b"\n]\n"


def from_json(data: bytes) -> list[Result]:
    """ValueError for what is no list of results."""
    documents = orjson.loads(data)
    return [Result.model_validate(document) for document in (documents if isinstance(documents, list) else [documents])]


def to_csv(results: Sequence[Result]) -> str:
    """A line for each result under a line of names."""
    target = io.StringIO()
    writer = csv.DictWriter(target, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(csv_row, results))
    return target.getvalue()


def csv_row(result: Result) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(result, name) for name in (
        "scenario", "step", "name", "repetition", "started_at", "broker", "ok", "error", "window_s")}
    row |= {f"{name}_per_s": value for name, value in result.rates.model_dump().items()}
    for prefix, latency in (("latency", result.latency), ("confirm_latency", result.confirm_latency),
                            ("reply_latency", result.reply_latency)):
        if latency is not None:
            row |= {f"{prefix}_{name}": value for name, value in latency.model_dump().items()}
    if result.broker_use is not None:
        row |= {f"broker_{name}": value for name, value in result.broker_use.model_dump().items()}
    if result.generator is not None:
        row["generator_busiest_process"] = result.generator.busiest_process
    row |= result.verification.model_dump()
    return {name: row.get(name) for name in CSV_COLUMNS}
