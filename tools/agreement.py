"""`python -m tools.agreement --amqpload PATH`: does `warren perf` find what another load tool finds?

Runs each scenario with both tools in turn on one and the same broker, and prints the medians beside each other: rates,
the broker's CPU time per message, latencies under a fixed rate. With `--nullbroker PATH` both run against a server that
only answers, too, which shows what they could do at most. Exit code 1 where the tools differ by more than 10 %, and by
more than runs of one and the same tool do.

`amqpload` and `nullbroker` are C programs without any library; they are no part of Warren.
"""
from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.page.agreement import NULL_BROKER, ToolRun, from_documents, pairs, text, to_json
from bench.perf.load import Load
from bench.perf.output import faults, from_json
from bench.perf.result import Result
from bench.perf.scenarios import SCENARIOS, loads
from bench.perf.session import fresh_prefix
from tests.harness import oracle
from tests.harness.warren import ROOT, Warren, environment, program
from tools import amqpload

BROKERS: Final = ("warren", "rabbitmq")
COMPARED: Final = [name for name in SCENARIOS if not name.startswith(("churn", "rpc", "get"))]
"""What amqpload can do."""
TOOL: Final = "warren perf"
TIMEOUT_S: Final = 300.0
GAP_S: Final = 0.3
WARM_S: Final = 3.0
STEP_GAP_S: Final = 2.0
"""Between a fill and its drain: what a broker does with a backlog meanwhile changes what the drain costs, and the tools
take more or less time to start."""
DELIVERED_BYTES: Final = 1 << 30
"""What a nullbroker delivers in one drain: about a second's work."""
US: Final = 1e6
FAILED: Final = 1
NULL_SCENARIOS: Final = ("transient", "publish", "ack1", "confirm", "fanout", "big")
IMPLIED: Final = {("drain", "producers"), ("publish", "consumers")}
FLAGS: Final = {"warmup_s": "warmup", "drain_timeout_s": "drain-timeout", "queue_arguments": "queue-argument"}


@dataclass(frozen=True)
class Place:
    """A broker that runs."""

    name: str
    port: int
    pids: Sequence[int] = ()


def arguments(load: Load) -> list[str]:
    """A load as the options of `warren perf run`."""
    made = ["--publish-only"] if load.mode == "publish" else ["--drain"] if load.mode == "drain" else []
    for name, value in load.model_dump(exclude_defaults=True, exclude={"mode"}).items():
        if (load.mode, name) in IMPLIED:
            continue
        option = "--" + FLAGS.get(name, name.replace("_", "-"))
        if value is True:
            made.append(option)
        elif isinstance(value, dict):
            made += [part for key, item in value.items() for part in (option, f"{key}={item}")]
        elif value is not None:
            made += [option, str(value)]
    return made


def run_ours(load: Load, place: Place, through: Sequence[str]) -> ToolRun:
    """As a user runs it; a fault of any kind is in its `error`."""
    command = [*through, *program(), "perf", "run", "--url", f"amqp://127.0.0.1:{place.port}", "--json", "-",
               "--no-progress", *arguments(load)]
    for pid in place.pids:
        command += ["--pid", str(pid)]
    done = subprocess.run(command, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
                          timeout=TIMEOUT_S)
    try:
        (result,) = from_json(done.stdout.encode())
    except ValueError:
        return ToolRun(tool=TOOL, error=f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
    return figures(result)


def figures(result: Result) -> ToolRun:
    """Of a raw result."""
    latency, confirm, use, generator = result.shown_latency, result.confirm_latency, result.broker_use, result.generator
    messages = (result.rates.publish + result.rates.deliver) * result.window_s
    return ToolRun(
        tool=TOOL,
        rate=result.rate,
        cpu_us=use.cpu_us_per_message if use else None,
        p50_us=latency.p50_us if latency else None,
        p99_us=latency.p99_us if latency else None,
        confirm_p50_us=confirm.p50_us if confirm else None,
        confirm_p99_us=confirm.p99_us if confirm else None,
        generator_us=round(generator.cpu_s * US / messages, 4) if generator and messages else 0.0,
        generator_busiest=generator.busiest_process if generator else 0.0,
        error=None if result.ok else result.error or f"verification failed: {', '.join(faults(result.verification))}",
    )


class Comparison:
    """Both tools in turn, on one broker after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.through = shlex.split(options.through)
        self.runs: list[ToolRun] = []

    def on(self, place: Place, name: str) -> None:
        """A scenario: A B A B ..."""
        for repetition in range(self.options.reps):
            for tool in self._tools(place):
                steps = loads(name, fresh_prefix(), seconds=self.options.seconds, warmup_s=self.options.warmup,
                              count=self.options.count)
                for number, (step, load) in enumerate(steps):
                    time.sleep(STEP_GAP_S if number else 0)
                    self._keep(tool(load), place, "/".join(filter(None, (name, step))), repetition, load)
                time.sleep(GAP_S)

    def warm(self, place: Place, name: str) -> None:
        """A broker that has just started is slower than it will be, and the first tool would find it so."""
        _, load = loads(name, fresh_prefix(), seconds=WARM_S, warmup_s=0, count=self.options.count // 4)[0]
        load = load.model_copy(update={"keep": False})
        amqpload.run(self.options.amqpload, load, place.port, place.pids, self.through)

    def at_most(self, name: str) -> None:
        """What the tools can do: a scenario's publishing and its consuming, each against a server that only answers."""
        for step, load in null_loads(name, self.options.seconds, self.options.warmup):
            for repetition in range(self.options.reps):
                with null_broker(self.options.nullbroker, load) as place:
                    for tool in self._tools(place):
                        self._keep(tool(load), place, f"{name}/{step}", repetition, load)

    def _tools(self, place: Place) -> tuple[Callable[[Load], ToolRun], ...]:
        return (
            lambda load: amqpload.run(self.options.amqpload, load, place.port, place.pids, self.through),
            lambda load: run_ours(load, place, self.through),
        )

    def _keep(self, run: ToolRun, place: Place, scenario: str, repetition: int, load: Load) -> None:
        self.runs.append(run.model_copy(update={
            "broker": place.name, "scenario": scenario, "repetition": repetition, "paced": load.rate > 0}))
        print(f"{place.name} {scenario} {run.tool}: " + (
            run.error or f"{run.rate:,.0f} per second, load {run.generator_us:.3f} us per message"), file=sys.stderr)


def null_loads(name: str, seconds: float, warmup_s: float) -> list[tuple[str, Load]]:
    """The two halves of a scenario; a scenario without consumers has one."""
    ((_, load),) = loads(name, fresh_prefix(), seconds=seconds, warmup_s=warmup_s)
    publish = load.model_dump(exclude_unset=True) | {"mode": "publish"}
    made = [("publish", Load(**publish))]
    if load.consumers:
        kept = {"size", "consumers", "queues", "queue_prefix", "auto_ack", "ack_every", "prefetch"}
        made.append(("consume", Load(mode="drain", **load.model_dump(include=kept))))
    return made


@contextmanager
def null_broker(executable: Path, load: Load) -> Iterator[Place]:
    """A nullbroker that delivers, in a drain, about as many bytes as are a second's work."""
    deliver = DELIVERED_BYTES // (load.size + 100) // load.queues if load.mode == "drain" else 0
    with subprocess.Popen([executable, "0", f"deliver={deliver}", f"body={load.size}"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Place(NULL_BROKER, int(process.stdout.readline()))
        finally:
            process.kill()


@contextmanager
def running(name: str, directory: Path) -> Iterator[Place]:
    """A broker with fresh data and its defaults."""
    if name == "rabbitmq":
        node = oracle.RabbitMQ(directory)
        try:
            node.start()
            yield Place(name, node.port, [node.pid])
        finally:
            node.stop()
        return
    with Warren(directory, gateways=None, shards=None) as warren:
        yield Place(name, warren.port, [warren.supervisor_pid])


def merged(kept: Sequence[ToolRun], found: Sequence[ToolRun]) -> list[ToolRun]:
    """What was kept, less what has been measured anew."""
    anew = {(run.broker, run.scenario) for run in found}
    return [run for run in kept if (run.broker, run.scenario) not in anew] + list(found)


def main(given: Sequence[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tools.agreement", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amqpload", type=Path, required=True, help="the program")
    parser.add_argument("--nullbroker", type=Path, help="the program: shows what the tools can do at most")
    parser.add_argument("--broker", action="append", choices=BROKERS, default=[], help="repeatable; default: warren")
    parser.add_argument("--only-nullbroker", action="store_true")
    parser.add_argument("--scenario", action="append", default=[], choices=COMPARED, help="repeatable; default: all")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--count", type=int, default=1_000_000,
                        help="messages of the backlog scenario: a second's work, as amqpload has CPU in 10 ms steps")
    parser.add_argument("--through", default="", metavar="COMMAND", help="before each run, such as `taskset -c 2,3`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all runs; what it has of other scenarios stays")
    options = parser.parse_args(given)
    comparison = Comparison(options)
    scenarios = options.scenario or COMPARED
    if options.nullbroker is not None:
        for name in scenarios:
            if name in NULL_SCENARIOS:
                comparison.at_most(name)
    for broker in () if options.only_nullbroker else options.broker or BROKERS[:1]:
        with tempfile.TemporaryDirectory(prefix="agreement-") as directory, \
                running(broker, Path(directory)) as place:
            comparison.warm(place, scenarios[0])
            for name in scenarios:
                comparison.on(place, name)
    runs = comparison.runs
    print(text(runs))
    if options.json is not None:
        kept: list[dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else []
        options.json.write_bytes(to_json(merged(from_documents(kept), runs)))
    differ = [pair for pair in pairs(runs) if pair.broker != NULL_BROKER and pair.verdict.startswith("no")]
    return FAILED if differ or any(run.error for run in runs) else os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
