"""The command: `python -m bench.footprint`. See the package."""
from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.footprint import backlog, growth, memory, stalls
from bench.footprint.row import Row, table, to_json
from bench.perf.machine import described, machine

SUBJECTS: Final[dict[str, Callable[[float], list[Row]]]] = {
    "idle": memory.idle,
    "connections": memory.connections,
    "queues": memory.queues,
    "queues-many-processes": memory.queues_many_processes,
    "messages": backlog.memory,
    "deep-backlog": backlog.deep,
    "growth-queues": growth.queues,
    "growth-churn": growth.churn,
    "growth-connections": growth.connections,
    "growth-bindings": growth.bindings,
    "growth-backlog": backlog.growth,
    "stalls": stalls.stalls,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.footprint", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Memory by connection, queue, binding and message, and how the cost grows with their number.\n"
                    "Subjects: " + ", ".join(SUBJECTS))
    parser.add_argument("--subject", action="append", choices=SUBJECTS, metavar="SUBJECT",
                        help="one or several; default: all, half an hour")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of all numbers: 1 is 10,000 queues, connections and bindings, 10,000,000 messages")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(arguments)
    if options.scale <= 0:
        parser.error("--scale must be more than 0")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))       # ours, and the broker's that we start
    print(described(machine()))
    rows: list[Row] = []
    for subject in options.subject or SUBJECTS:
        found = SUBJECTS[subject](options.scale)
        print(f"\n{table(found)}", flush=True)
        rows += found
        if options.json is not None:
            options.json.write_bytes(to_json(rows))     # also where a later subject fails
    return 0


if __name__ == "__main__":
    sys.exit(main())
