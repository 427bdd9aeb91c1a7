"""What is kept in a directory of results: each file is of one kind, told by what is in it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from bench.page import agreement, measures
from bench.page.agreement import ToolRun
from bench.page.measures import Measure
from bench.perf.errors import LoadError
from bench.perf.half_load import HALF_OF
from bench.perf.result import Result

SCALING: Final = "gateways"
"""In `setup`, of the results of a scaling experiment."""


@dataclass
class Kept:
    """By the name of the file, without its suffix."""

    comparisons: dict[str, list[Result]] = field(default_factory=dict)
    half_loads: dict[str, list[Result]] = field(default_factory=dict)
    scalings: dict[str, list[Result]] = field(default_factory=dict)
    measures: dict[str, list[Measure]] = field(default_factory=dict)
    agreements: dict[str, list[ToolRun]] = field(default_factory=dict)

    @property
    def compared(self) -> list[Result]:
        """Of all comparisons."""
        return [one for results in self.comparisons.values() for one in results]


def read(directory: Path) -> Kept:
    """LoadError where there is nothing, or something else."""
    kept = Kept()
    sources = sorted(directory.glob("*.json"))
    if not sources:
        raise LoadError(f"there are no results (*.json) in {directory}")
    for source in sources:
        try:
            found = orjson.loads(source.read_bytes())
            documents: list[dict[str, Any]] = found if isinstance(found, list) else [found]
            if not documents or not all(isinstance(document, dict) for document in documents):
                raise ValueError("it is no list of objects")
            _sort_in(kept, source.stem, documents)
        except ValueError as error:
            raise LoadError(f"{source}: no results: {error}") from None
    return kept


def _sort_in(kept: Kept, name: str, documents: Sequence[dict[str, Any]]) -> None:
    if "quantity" in documents[0]:
        kept.measures[name] = measures.from_documents(documents)
        return
    if "tool" in documents[0]:
        kept.agreements[name] = agreement.from_documents(documents)
        return
    results = [Result.model_validate(document) for document in documents]
    if any(SCALING in one.setup for one in results):
        kept.scalings[name] = results
    elif any(HALF_OF in one.setup for one in results):
        kept.half_loads[name] = results
    else:
        kept.comparisons[name] = results
