"""`python -m tools.measure`: both brokers, amqpload's compare.py alternating between them, README.md's table.

Owns nothing but temporary directories; each broker keeps its data on the disk there, and nowhere in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.table import render
from tests.harness.oracle import RabbitMQ
from tests.harness.warren import Warren

SCENARIOS: Final = ("transient", "confirm", "persistent", "topic", "many", "latency")
COMPILER_FLAGS: Final = ("-O2", "-g", "-pthread")


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--amqpload",
        type=Path,
        default=os.environ.get("AMQPLOAD"),
        metavar="DIR",
        help="directory of amqpload.c and compare.py (environment: AMQPLOAD)",
    )
    parser.add_argument("--scenario", action="append", help=f"repeatable; default: {', '.join(SCENARIOS)}")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--gateways", type=int, default=None, help="default: as `warren serve` chooses")
    parser.add_argument("--shards", type=int, default=None)
    parser.add_argument("--directory", type=Path, default=None, help="for the brokers' data; default: a temporary one")
    parser.add_argument("--json-out", type=Path, default=None, help="keep every single result there")
    parser.add_argument("--without-rabbitmq", action="store_true")
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="only print the table of an earlier --json-out")
    options = parser.parse_args()
    if options.table is not None:
        print(render(json.loads(options.table.read_text())))
        return 0
    if options.amqpload is None:
        parser.error("where is amqpload? give --amqpload DIR, or set AMQPLOAD")
    with ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        program = build(Path(options.amqpload), directory)
        brokers = []
        if not options.without_rabbitmq:
            rabbitmq = stack.enter_context(running_rabbitmq(directory / "rabbitmq"))
            brokers.append(f"rabbitmq={rabbitmq.port}:{rabbitmq.pid}")
        warren = stack.enter_context(Warren(directory / "warren", gateways=options.gateways, shards=options.shards))
        brokers.append(f"warren={warren.port}:{warren.supervisor_pid}")
        results = options.json_out or directory / "results.json"
        command = [
            sys.executable,
            str(Path(options.amqpload) / "compare.py"),
            "--amqpload",
            str(program),
            "--json-out",
            str(results),
            "--reps",
            str(options.reps),
            "--seconds",
            str(options.seconds),
            "--warmup",
            str(options.warmup),
        ]
        for scenario in options.scenario or SCENARIOS:
            command += ["--scenario", scenario]
        code = subprocess.run([*command, *brokers], check=False).returncode
        if not results.exists():
            return code or 1
        print(f"\n{machine()}\n\n{render(json.loads(results.read_text()))}")
        return code


def build(source: Path, directory: Path) -> Path:
    """The load generator, compiled; its own directory may be read-only."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("a C compiler is needed to build amqpload")
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "amqpload"
    subprocess.run([compiler, *COMPILER_FLAGS, "-o", str(program), str(source / "amqpload.c")], check=True)
    return program


@contextmanager
def running_rabbitmq(directory: Path) -> Iterator[RabbitMQ]:
    """RabbitMQ as the distribution's package starts it, on a port of its own."""
    node = RabbitMQ(directory)
    try:
        node.start()
        yield node
    finally:
        node.stop()


def machine() -> str:
    """Where the numbers are from."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({models[0] if models else platform.machine()}), Linux {platform.release()}, Python "
        f"{platform.python_version()}; the load generator runs on the same cores"
    )


if __name__ == "__main__":
    sys.exit(main())
