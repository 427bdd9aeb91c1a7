"""The section on scaling: what was measured over gateways and shards beside what is only calculated."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.page.comparison import image
from bench.perf import scaling
from bench.perf.plots import plot_scaling
from bench.perf.result import Result


def section(stem: str, results: Sequence[Result], plots: Path, place: str) -> tuple[str, list[Path]]:
    """Text and files."""
    found = scaling.rows(results)
    machine = next((one.machine for one in results if one.machine), {})
    scenarios = ", ".join(dict.fromkeys(one.scenario or "" for one in results))
    blocks = [f"Scenario {scenarios}, with {scaling.PER_PROCESS} producers, consumers and queues for each gateway or "
              "shard.", scaling.table(found, "github"), *scaling.remarks(found, machine)]
    if not found:
        return "\n\n".join(blocks), []
    file = plots / f"{stem}.svg"
    plot_scaling(found, file)
    return "\n\n".join([*blocks, image(f"{stem}: measured and calculated", place, file)]), [file]
