"""Loads that follow each other on one broker and share their queues: a scenario, or a fill and a drain."""
from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from bench.perf.client import Client
from bench.perf.errors import LoadError
from bench.perf.load import PREFIX_DEFAULT, Load
from bench.perf.result import Result
from bench.perf.run import Progress, Target, execute
from bench.perf.scenarios import COUNT_DEFAULT, loads
from bench.perf.topology import clean_up
from bench.perf.url import parse

OnProgress = Callable[[Progress], None]


def fresh_prefix() -> str:
    """For queues that nobody else has."""
    return f"{PREFIX_DEFAULT}-{secrets.token_hex(3)}"


def run_scenario(
    target: Target, name: str, *, seconds: float, warmup_s: float, count: int = COUNT_DEFAULT,
    changes: dict[str, Any] | None = None, on_progress: OnProgress | None = None,
) -> list[Result]:
    """A scenario once: a result per step."""
    steps = loads(name, fresh_prefix(), seconds=seconds, warmup_s=warmup_s, count=count, changes=changes)
    results = run_loads(target, steps, on_progress)
    for result in results:
        result.scenario = name
    return results


def run_loads(
    target: Target, steps: Sequence[tuple[str | None, Load]], on_progress: OnProgress | None = None
) -> list[Result]:
    """One after the other. Queues that a step keeps are for the next one, and deleted where that does not come."""
    results: list[Result] = []
    load: Load | None = None
    try:
        for name, load in steps:
            result = execute(target, load, on_progress)
            result.step = name
            results.append(result)
            if result.interrupted:
                break
    finally:
        if load is not None and load.keep and len(results) < len(steps):
            _delete(target, load)
    return results


def _delete(target: Target, load: Load) -> None:
    """A broker that is gone is no error here."""
    try:
        client = Client(parse(target.urls[0]), "control")
        try:
            clean_up(client, load.model_copy(update={"keep": False}))
        finally:
            client.close()
    except LoadError:
        pass
