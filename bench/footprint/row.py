"""One measured quantity, in the form in which the results page takes it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from tabulate import tabulate


@dataclass(frozen=True)
class Row:
    """`target`: the value is to be at most that; None where it is only told."""

    subject: str
    quantity: str
    unit: str
    value: float
    target: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target


def table(rows: Sequence[Row]) -> str:
    """For people."""
    verdicts = {True: "met", False: "MISSED", None: ""}
    return tabulate(
        [(row.subject, row.quantity, f"{row.value:,.2f}", row.unit, "" if row.target is None else f"{row.target:g}",
          verdicts[row.met], _shown(row.details)) for row in rows],
        headers=("subject", "quantity", "value", "unit", "at most", "", "details"), disable_numparse=True,
        colalign=("left", "left", "right", "left", "right"),
    )


def to_json(rows: Sequence[Row]) -> bytes:
    """A list of {subject, quantity, unit, value, target, details}."""
    return orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2) + b"\n"


def _shown(details: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
                     for name, value in details.items() if not isinstance(value, dict))
