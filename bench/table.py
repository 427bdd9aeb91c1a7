"""The results of compare.py as the Markdown table of README.md: medians, and Warren's ratio to RabbitMQ."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

Result = dict[str, Any]

BASE: Final = "rabbitmq"
OWN: Final = "warren"
HEAD: Final = (
    "scenario",
    "RabbitMQ msgs/s",
    "Warren msgs/s",
    "ratio",
    "RabbitMQ CPU us/msg",
    "Warren CPU us/msg",
    "RabbitMQ p50 / p99",
    "Warren p50 / p99",
    "checked",
)


def render(results: Sequence[Result]) -> str:
    """A row per scenario. A run that the generator found at fault counts in no median; `checked` tells."""
    rows = [_row(name, [one for one in results if one["scenario"] == name]) for name in _in_order(results)]
    lines = [HEAD, tuple("---" if column == 0 else "---:" for column in range(len(HEAD))), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _in_order(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(one["scenario"] for one in results))


def _row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    base = [one for one in results if one["name"] == BASE and one["status"] == 0]
    own = [one for one in results if one["name"] == OWN and one["status"] == 0]
    base_rate, own_rate = _median(base, _rate), _median(own, _rate)
    ratio = f"**{own_rate / base_rate:.2f}**" if base_rate and own_rate else "-"
    return (
        name,
        _whole(base_rate),
        _whole(own_rate),
        ratio,
        _cpu(base),
        _cpu(own),
        _latency(base),
        _latency(own),
        f"{len(base) + len(own)}/{len(results)}",
    )


def _rate(result: Result) -> float | None:
    value = result["deliver_rate"] if result["consumers"] else result["publish_rate"]
    return float(value) if value is not None else None


def _median(results: Sequence[Result], value: Any) -> float | None:
    values = [found for one in results if (found := value(one)) is not None]
    return statistics.median(values) if values else None


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _cpu(results: Sequence[Result]) -> str:
    value = _median(results, lambda one: one.get("broker_cpu_us_per_msg"))
    return "-" if value is None else f"{value:.2f}"


def _latency(results: Sequence[Result]) -> str:
    shown = []
    for quantile in ("p50", "p99"):
        value = _median(results, lambda one, quantile=quantile: (one.get("latency_us") or {}).get(quantile))
        shown.append("-" if value is None else f"{value:,.0f} us" if value < 10_000 else f"{value / 1000:,.1f} ms")
    return " / ".join(shown)
