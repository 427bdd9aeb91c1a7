"""amqpload, an independent load generator in C: a load of `warren perf` as its arguments, and its answer as figures.

Both tools do the same with the same options, which is what makes them comparable (tools/agreement.py).
"""
from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.page.agreement import ToolRun
from bench.perf.load import Load

TOOL: Final = "amqpload"
TIMEOUT_S: Final = 300.0
FAULTS: Final = ("missing", "duplicates", "out_of_order", "misrouted", "foreign", "bad_confirms", "timed_out")
NAMES: Final = {
    "producers": "producers", "consumers": "consumers", "queues": "queues", "queue_prefix": "queue-prefix",
    "size": "size", "seconds": "seconds", "warmup_s": "warmup", "count": "count", "queue_type": "queue-type",
    "exchange_type": "exchange-type", "confirm": "confirm", "rate": "rate", "ack_every": "ack-every",
    "prefetch": "prefetch",
}
FLAGS: Final = {"persistent": "persistent", "durable": "durable", "auto_ack": "autoack"}


def arguments(load: Load) -> list[str]:
    """What `amqpload` is given for a load. ValueError for what it cannot do."""
    others = (load.properties, load.headers, load.exchange_type == "headers", load.rpc, load.polling,
              load.consumer_rate, load.queue)
    if load.mode == "churn" or any(others):
        raise ValueError(f"amqpload has no such load: {load}")
    values = load.model_dump()
    made: list[str] = []
    for name, option in NAMES.items():
        if values[name] and not (name == "ack_every" and load.auto_ack):
            made += [f"--{option}", f"{values[name]:g}" if isinstance(values[name], float) else str(values[name])]
    made += [f"--{option}" for name, option in FLAGS.items() if values[name]]
    if load.exchange_type is not None:
        made += ["--exchange", load.exchange, "--routing-keys", str(load.keys)]
    for key, value in load.queue_arguments.items():
        made += ["--queue-arg", f"{key}={value}"]
    if load.mode != "both":
        made.append(f"--{load.mode}-only")
    return [*made, "--keep" if load.keep else "--delete"]


def run(program: Path, load: Load, port: int, pids: Sequence[int], through: Sequence[str] = ()) -> ToolRun:
    """One run; a fault of any kind is in its `error`."""
    command = [*through, str(program), "--port", str(port), "--json", *arguments(load)]
    for pid in pids:
        command += ["--pgrep-children", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return ToolRun(tool=TOOL, error=f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
    return figures(found)


def figures(found: dict[str, Any]) -> ToolRun:
    """Of its JSON."""
    if "error" in found:
        return ToolRun(tool=TOOL, error=found["error"])
    latency = found.get("latency_us") or found.get("confirm_latency_us") or {}
    confirm = found.get("confirm_latency_us") or {}
    faults = {name: found[name] for name in FAULTS if found.get(name)}
    return ToolRun(
        tool=TOOL,
        rate=found["deliver_rate"] if found["consumers"] else found["publish_rate"],
        cpu_us=found.get("broker_cpu_us_per_msg"),
        p50_us=latency.get("p50"),
        p99_us=latency.get("p99"),
        confirm_p50_us=confirm.get("p50"),
        confirm_p99_us=confirm.get("p99"),
        generator_us=found["gen_cpu_us_per_msg"],
        generator_busiest=found["gen_busiest_thread"],
        error=None if found["ok"] else f"verification failed: {faults}",
    )
