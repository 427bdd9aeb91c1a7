"""Figures that are no run of a load: memory, growth, start, recovery, idle.

Raw: a list of {subject, quantity, unit, value, target, details}, as `bench.footprint` and `bench.startup` write it. The
target is a number, or words such as "at most 150"; without words it is the most that may be, or, for what is counted
per second, the least.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from tabulate import tabulate

AT_LEAST: Final = re.compile(r"\s*(>=|>|at least)", re.IGNORECASE)
NUMBER: Final = re.compile(r"-?\d[\d,]*(\.\d+)?")
PER_SECOND: Final = ("/s", "per second")
HEADERS: Final = ("what", "quantity", "measured", "unit", "target", "met")


class Measure(BaseModel):
    """One figure."""

    model_config = ConfigDict(extra="ignore")

    subject: str
    quantity: str
    unit: str = ""
    value: float | None
    target: float | str | None = None
    details: Any = None

    @property
    def limit(self) -> float | None:
        """The number in the target."""
        if isinstance(self.target, str):
            found = NUMBER.search(self.target)
            return float(found[0].replace(",", "")) if found else None
        return self.target

    @property
    def at_least(self) -> bool:
        if isinstance(self.target, str) and not NUMBER.match(self.target.strip()):
            return AT_LEAST.match(self.target) is not None
        return self.unit.endswith(PER_SECOND)

    @property
    def met(self) -> bool | None:
        """None where there is no target, or no figure."""
        if self.limit is None or self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def from_documents(documents: Iterable[dict[str, Any]]) -> list[Measure]:
    """ValueError for what is none."""
    return [Measure.model_validate(document) for document in documents]


def table(measures: Sequence[Measure], tablefmt: str = "github") -> str:
    """A line for each."""
    lines = [
        (one.subject, one.quantity, number(one.value), one.unit, target_text(one), met_text(one.met))
        for one in measures
    ]
    return tabulate(lines, headers=HEADERS, tablefmt=tablefmt, disable_numparse=True,
                    colalign=("left", "left", "right", "left", "right", "left"))


def target_text(one: Measure) -> str:
    limit = one.limit
    if limit is None:
        return str(one.target) if one.target is not None else ""
    return f"{'at least' if one.at_least else 'at most'} {number(limit)}"


def met_text(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "**no**"


def number(value: float | None) -> str:
    """With as many digits as say something."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
