"""How throughput and CPU per message change with the number of gateways and shards: a Warren is started for each.

Where the machine has a core for each gateway and each shard and some for the load, all are pinned to cores of their
own, and what is measured is what such a broker does. Where it has not, processes share cores: then the rate says
little, but the CPU time per message is still that of each role. From it follows what gateways and shards would do with
a core each, as long as a message costs the same; that is calculated, never measured, and always called so.
"""
from __future__ import annotations

import os
import re
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tabulate import tabulate

from bench.perf.errors import LoadError
from bench.perf.local_broker import LocalBroker
from bench.perf.result import Result
from bench.perf.run import Target
from bench.perf.session import OnProgress, run_scenario

PER_PROCESS: Final = 4
"""Producers, consumers and queues for each gateway or shard: the kernel and the placement deal them out by chance."""
SMALL_CORE_SHARE: Final = 4
"""One core in so many is for the load, one at least."""
US: Final = 1e6
ROLE: Final = re.compile(r"warren: (gateway|shard) \d+")
LARGER: Final = ((2, 2), (4, 4), (8, 8))
"""Gateways and shards for which it is calculated what they would do."""


@dataclass(frozen=True)
class Row:
    """Medians of the good runs of one setup."""

    gateways: int
    shards: int
    pinned: bool
    rate: float
    gateway_us: float                       # CPU time of all gateways per message
    shard_us: float
    other_us: float                         # of supervisor and catalog
    busiest: float                          # part of a core that the busiest gateway or shard used

    @property
    def calculated(self) -> float:
        return ceiling(self, self.gateways, self.shards)


# -- measuring


def scale(
    setups: Iterable[tuple[int, int]], scenario: str, *, repetitions: int, seconds: float, warmup_s: float,
    directory: Path | None = None, on_result: Callable[[Result], None] | None = None,
    on_progress: OnProgress | None = None,
) -> list[Result]:
    """Raw results of all setups, (gateways, shards) each."""
    results: list[Result] = []
    for gateways, shards in setups:
        with tempfile.TemporaryDirectory(prefix="warren-scaling-", dir=directory) as name, \
                LocalBroker(Path(name), gateways, shards) as broker, pinned(broker) as cores:
            connections = PER_PROCESS * max(gateways, shards)
            for repetition in range(repetitions):
                try:
                    (result,) = run_scenario(
                        Target([broker.url], [broker.pid]), scenario, seconds=seconds, warmup_s=warmup_s,
                        changes=dict.fromkeys(("producers", "consumers", "queues"), connections),
                        on_progress=on_progress,
                    )
                except LoadError as error:
                    result = Result(scenario=scenario, error=str(error))
                result.name, result.repetition = f"{gateways} x {shards}", repetition
                result.setup = {"gateways": gateways, "shards": shards, "cores": cores, "pinned": cores is not None}
                results.append(result)
                if on_result is not None:
                    on_result(result)
                if result.interrupted:
                    return results
    return results


def cores_for(available: Sequence[int], gateways: int, shards: int) -> dict[str, int] | None:
    """A core for each gateway and shard, so that enough are left for the load; None where there are too few."""
    for_load = max(1, len(available) // SMALL_CORE_SHARE)
    if gateways + shards + for_load > len(available):
        return None
    names = [*(f"gateway {number}" for number in range(gateways)), *(f"shard {number}" for number in range(shards))]
    return dict(zip(names, available, strict=False))


@contextmanager
def pinned(broker: LocalBroker) -> Iterator[dict[str, int] | None]:
    """Gateways and shards on cores of their own, where there are enough; all else, the load too, on the others."""
    available = sorted(os.sched_getaffinity(0))
    cores = cores_for(available, broker.gateways, broker.shards)
    if cores is None:
        yield None
        return
    rest = set(available) - set(cores.values())
    for name, pid in broker.processes().items():
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {cores[name]} if name in cores else rest)
    os.sched_setaffinity(0, rest)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, available)


# -- what it comes to


def rows(results: Sequence[Result]) -> list[Row]:
    """One for each setup with a good run."""
    setups = dict.fromkeys((one.setup["gateways"], one.setup["shards"]) for one in results if one.setup)
    found = []
    for gateways, shards in setups:
        good = [one for one in results if one.ok and one.broker_use is not None and one.rate
                and (one.setup["gateways"], one.setup["shards"]) == (gateways, shards)]
        if good:
            found.append(Row(
                gateways, shards, all(one.setup["pinned"] for one in good),
                *(statistics.median(values) for values in zip(*map(_values, good), strict=True)),
            ))
    return found


def _values(result: Result) -> tuple[float, float, float, float, float]:
    """Rate, CPU microseconds per message of gateways, shards and others, and the busiest process."""
    assert result.broker_use is not None
    used = result.broker_use.cpu_s_by_process
    by_role = {"gateway": 0.0, "shard": 0.0, "other": 0.0}
    for name, seconds in used.items():
        role = ROLE.fullmatch(name)
        by_role[role[1] if role else "other"] += seconds
    messages = result.rate * result.window_s
    busiest = max((seconds for name, seconds in used.items() if ROLE.fullmatch(name)), default=0.0) / result.window_s
    gateway, shard, other = (seconds * US / messages for seconds in by_role.values())
    return result.rate, gateway, shard, other, busiest


def ceiling(row: Row, gateways: int, shards: int) -> float:
    """Messages per second with a core for each process, at the CPU time per message of a row: calculated."""
    return min(_most(gateways, row.gateway_us), _most(shards, row.shard_us))


def _most(processes: int, us: float) -> float:
    return processes * US / us if us else float("inf")


HEADERS: Final = ("gateways", "shards", "measured msgs/s", "cores", "gateway us/msg", "shard us/msg", "other us/msg",
                  "busiest process", "calculated msgs/s, a core each")


def table(found: Sequence[Row], tablefmt: str = "simple") -> str:
    lines = [
        (row.gateways, row.shards, f"{row.rate:,.0f}", "own" if row.pinned else "shared", f"{row.gateway_us:.2f}",
         f"{row.shard_us:.2f}", f"{row.other_us:.2f}", f"{row.busiest:.0%}", f"{row.calculated:,.0f}")
        for row in found
    ]
    return tabulate(lines, headers=HEADERS, tablefmt=tablefmt, disable_numparse=True,
                    colalign=["right"] * len(HEADERS))


def remarks(found: Sequence[Row], machine: dict[str, Any]) -> list[str]:
    """What the table does not say by itself, above all what is calculated and not measured."""
    if not found:
        return ["no run was good"]
    said = []
    shared = [row for row in found if not row.pinned]
    if shared:
        said.append(
            f"{len(shared)} of {len(found)} setups had too few cores ({machine.get('cores', '?')}): their processes "
            "shared them, with each other and with the load. Their measured rates are those of this machine, and say "
            "nothing of how the broker scales.")
    said.append("\"calculated\" is not measured: it is what gateways and shards would do with a core each, if a "
                "message cost them the same CPU time, and if nothing else (network, disk, the load) were the limit.")
    base = found[-1]
    larger = [
        f"{gateways} x {shards}: {ceiling(base, gateways, shards):,.0f}"
        for gateways, shards in LARGER if gateways > base.gateways or shards > base.shards
    ]
    if larger:
        limit = "gateways" if base.gateway_us / base.gateways >= base.shard_us / base.shards else "shards"
        said.append(f"Calculated in the same way from the last row ({base.gateways} x {base.shards}, whose limit are "
                    f"the {limit}), gateways x shards: {', '.join(larger)} messages per second at most.")
    return said
