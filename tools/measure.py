"""`make bench`: Warren beside RabbitMQ, and Warren over gateways and shards, to bench/results and bench/RESULTS.md.

RabbitMQ is Debian's package, where it is installed. Both brokers keep their data on the disk of one directory and run
side by side, but only one is under load at a time. Owns nothing but that directory, which it deletes.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from broker.main import cli
from tests.harness import oracle
from tests.harness.warren import Warren

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "bench" / "RESULTS.md"


def main() -> int:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.measure", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", action="append", default=[], help="repeatable; default: all")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--count", type=int, default=200_000, help="messages of the backlog scenario")
    parser.add_argument("--gateways", type=int, default=None, help="default: as `warren serve` chooses")
    parser.add_argument("--shards", type=int, default=None)
    parser.add_argument("--scaling-gateways", default="1,2", help="empty: no scaling")
    parser.add_argument("--scaling-shards", default="1,2")
    parser.add_argument("--scaling-scenario", default="confirm")
    parser.add_argument("--directory", type=Path, default=None, help="for the brokers' data; default: a temporary one")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--without-rabbitmq", action="store_true")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    code = 0
    with ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        code |= compare(options, directory)
        if options.scaling_gateways:
            code |= perf(
                "scaling", "--gateways", options.scaling_gateways, "--shards", options.scaling_shards,
                "--scenario", options.scaling_scenario, "--reps", str(options.reps), "--seconds", str(options.seconds),
                "--warmup", str(options.warmup), "--directory", str(directory),
                "--json", str(options.results / "scaling.json"),
            )
    return code | perf("page", str(options.results), str(options.page))


def compare(options: argparse.Namespace, directory: Path) -> int:
    """Both brokers, in alternation."""
    with ExitStack() as stack:
        brokers, pids = [], []
        if not options.without_rabbitmq and oracle.installed() is not None:
            rabbitmq = stack.enter_context(running_rabbitmq(directory / "rabbitmq"))
            brokers.append(f"rabbitmq=amqp://{rabbitmq.host}:{rabbitmq.port}")
            pids += ["--pid", f"rabbitmq={rabbitmq.pid}"]
        warren = stack.enter_context(Warren(directory / "warren", gateways=options.gateways, shards=options.shards))
        brokers.append(f"warren=amqp://{warren.host}:{warren.port}")
        pids += ["--data", f"warren={warren.data}"]
        scenarios = [part for name in options.scenario for part in ("--scenario", name)]
        return perf(
            "compare", *brokers, *pids, *scenarios, "--reps", str(options.reps), "--seconds", str(options.seconds),
            "--warmup", str(options.warmup), "--count", str(options.count),
            "--json", str(options.results / "brokers.json"),
        )


def perf(*arguments: str) -> int:
    """`warren perf ...` in this process; its exit code."""
    try:
        cli(["perf", *arguments], prog_name="warren")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@contextmanager
def running_rabbitmq(directory: Path) -> Iterator[oracle.RabbitMQ]:
    """RabbitMQ as the distribution's package starts it, on a port of its own."""
    node = oracle.RabbitMQ(directory)
    try:
        node.start()
        yield node
    finally:
        node.stop()


if __name__ == "__main__":
    sys.exit(main())
