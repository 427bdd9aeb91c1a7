"""How soon a Warren is ready, and what it costs when nothing happens.

    python -m bench.startup --json bench/results/startup.json
    python -m bench.startup --subject recovery --messages 1000000

Subjects:

    start       from `warren serve` to ready: with no data, with an empty catalog, with durable queues and bindings
    recovery    the same with persistent messages of 100 bytes: in one queue, after a kill and after a stop, with half
                of them acknowledged, and spread over many queues
    idle        CPU of all processes together: empty, with connections that send heartbeats, with many queues, with
                messages of many different TTLs

Prints a table; the JSON is a list of {subject, quantity, unit, value, target, details}.
"""
from __future__ import annotations

import argparse
import itertools
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from amqp091.constants import HEARTBEAT_FRAME
from amqp091.methods import BasicPublish, QueueBind, QueueBindOk, QueueDeclare, QueueDeclareOk, encode
from amqp091.properties import Properties, content_header_frame
from amqp091.properties import encode as encode_properties
from bench.perf.client import CHANNEL, Client
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.local_broker import LocalBroker
from bench.perf.machine import described, machine
from bench.perf.messages import body_frames
from bench.perf.plan import declared_names
from bench.perf.processes import ProcessTree
from bench.perf.run import Target, execute
from bench.perf.url import parse

READY_S_MAX: Final = 1.0
RECOVERY_S_MAX: Final = 5.0
IDLE_CORES_MAX: Final = 0.01
SUBJECTS: Final = ("start", "recovery", "idle")
BODY_BYTES: Final = 100
WINDOW: Final = 1000
SPREAD_PRODUCERS: Final = 4
BINDING_EXCHANGE: Final = "amq.topic"
PREFIX: Final = "startup"
SETTLING_S: Final = 3.0
"""After a load, until what it left to do is done: syncs, checkpoints, the removal of segments."""
HEARTBEAT_S: Final = 60
"""What RabbitMQ and Warren propose, and most clients take."""
HEARTBEATS_PER_INTERVAL: Final = 2
TTL_MS_MIN: Final = 10 * 60 * 1000
"""None is due while it is measured."""
TTL_MS_SPREAD: Final = 1 << 30
TTL_STEP: Final = 7919
"""A prime: neighbours in a queue are not neighbours in time."""
TTL_QUEUES: Final = 8
DECLARING: Final = 32
"""Connections that declare at the same time, as the catalog then commits many declarations at once."""

Row = dict[str, Any]


class Measurement:
    """Brokers of one shape, one after another, and what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rows: list[Row] = []

    @contextmanager
    def directory(self) -> Iterator[Path]:
        root = Path(tempfile.mkdtemp(prefix="bench-startup-", dir=self.options.directory))
        try:
            yield root
        finally:
            shutil.rmtree(root)

    def broker(self, root: Path) -> LocalBroker:
        return LocalBroker(root, self.options.gateways, self.options.shards)

    def add(self, subject: str, quantity: str, unit: str, value: float, target: float | None, **details: Any) -> None:
        row = {
            "subject": subject, "quantity": quantity, "unit": unit, "value": round(value, 4), "target": target,
            "details": {**details, "gateways": self.options.gateways, "shards": self.options.shards},
        }
        self.rows.append(row)
        print(_line(row), flush=True)

    # -- start

    def start(self) -> None:
        """Of a broker without messages."""
        with self.directory() as root:
            times = []
            for _ in range(self.options.rounds):
                shutil.rmtree(root / "data", ignore_errors=True)
                with self.broker(root) as broker:
                    times.append(broker.started_s)
            self.add("start", "no data", "s", min(times), READY_S_MAX, all=_rounded(times))
            self._restarts(root, "empty", READY_S_MAX)
        with self.directory() as root:
            queues = self.options.queues
            with self.broker(root) as broker:
                declare(broker, queues)
            self._restarts(root, "durable queues and bindings", None, queues=queues, bindings=queues)

    def _restarts(self, root: Path, quantity: str, target: float | None, **details: Any) -> None:
        times = []
        for _ in range(self.options.rounds):
            with self.broker(root) as broker:
                times.append(broker.started_s)
        self.add("start", quantity, "s", min(times), target, all=_rounded(times), **details)

    # -- recovery

    def recovery(self) -> None:
        """Of messages that were confirmed."""
        messages = self.options.messages
        with self.directory() as root:
            with self.broker(root) as broker:
                fill(broker, messages, 1)
                broker.kill()
            self._recovered(root, "killed, one queue", messages, 1, stop=True)
            self._recovered(root, "stopped, one queue", messages, 1, stop=True)
            with self.broker(root) as broker:
                left = drain(broker, messages // 2)
                broker.kill()
            self._recovered(root, "killed, one queue, half acknowledged", left, 1, stop=True)
        with self.directory() as root:
            with self.broker(root) as broker:
                fill(broker, messages, self.options.spread)
                broker.kill()
            self._recovered(root, f"killed, {self.options.spread:,} queues", messages, self.options.spread, stop=False)

    def _recovered(self, root: Path, quantity: str, messages: int, queues: int, *, stop: bool) -> None:
        """Started, counted, and ended, by a stop or a kill."""
        with self.broker(root) as broker:
            found = count(broker, queues)
            if found != messages:
                raise LoadError(f"{found:,} messages were recovered instead of {messages:,}")
            used_s = ProcessTree([broker.pid]).cpu_seconds()
            memory = ProcessTree([broker.pid]).memory()
            self.add("recovery", quantity, "s", broker.started_s, RECOVERY_S_MAX, messages=found, queues=queues,
                     cpu_s=round(used_s, 3), pss_bytes=memory.pss_bytes)
            if not stop:
                broker.kill()

    # -- idle

    def idle(self) -> None:
        """CPU while nothing happens."""
        with self.directory() as root, self.broker(root) as broker:
            self._watch(broker, "empty")
            with connections(broker, self.options.connections):
                self._watch(broker, "connections with heartbeats", connections=self.options.connections,
                            heartbeat_s=HEARTBEAT_S)
            declare(broker, self.options.queues)
            self._watch(broker, "durable queues", queues=self.options.queues)
        with self.directory() as root, self.broker(root) as broker:
            expiring(broker, self.options.expiring)
            self._watch(broker, "messages with different TTLs", messages=self.options.expiring)

    def _watch(self, broker: LocalBroker, quantity: str, **details: Any) -> None:
        time.sleep(min(SETTLING_S, self.options.idle_seconds))
        tree = ProcessTree([broker.pid])
        before, began_s = tree.cpu_by_title(), time.monotonic()
        time.sleep(self.options.idle_seconds)
        after, seconds = tree.cpu_by_title(), time.monotonic() - began_s
        cores = {name.removeprefix("warren: "): (after[name] - before.get(name, 0.0)) / seconds for name in after}
        self.add("idle", quantity, "cores", sum(cores.values()), IDLE_CORES_MAX, seconds=round(seconds, 1),
                 **details, cores_by_process={name: round(value, 5) for name, value in cores.items()})


# -- what is put into a broker


def declare(broker: LocalBroker, queues: int) -> None:
    """Durable queues with a binding each."""
    load = Load(mode="churn", churn="declare", producers=min(queues, DECLARING), count=queues, durable=True, keep=True,
                queue_prefix=PREFIX)
    execute(Target([broker.url]), load)
    client = Client(parse(broker.url), "startup")
    try:
        for number, name in enumerate(declared_names(load)):
            client.tell(QueueBind(0, name, BINDING_EXCHANGE, f"a.{number}.b", True))
        client.call(QueueBind(0, name, BINDING_EXCHANGE, "last"), QueueBindOk)
    finally:
        client.close()


def fill(broker: LocalBroker, messages: int, queues: int) -> None:
    result = execute(Target([broker.url]), Load(
        mode="publish", producers=1 if queues == 1 else SPREAD_PRODUCERS, queues=queues, count=messages,
        size=BODY_BYTES, persistent=True, durable=True, confirm=WINDOW, keep=True, queue_prefix=PREFIX))
    _check(result.verification.ok)


def drain(broker: LocalBroker, messages: int) -> int:
    """So many, and some more that were taken before it was noticed; how many are left."""
    result = execute(Target([broker.url]), Load(
        mode="drain", count=messages, durable=True, prefetch=500, ack_every=50, keep=True, queue_prefix=PREFIX))
    _check(result.verification.ok)
    return result.left_in_queues


def _check(good: bool) -> None:
    if not good:
        raise LoadError("the messages could not be put there, or taken")


def expiring(broker: LocalBroker, messages: int) -> None:
    """Messages of a TTL that is each one's own, over some queues."""
    client = Client(parse(broker.url), "startup")
    try:
        for queue in range(TTL_QUEUES):
            client.call(QueueDeclare(queue=f"{PREFIX}-{queue}"), QueueDeclareOk)
        publishes = [encode(CHANNEL, BasicPublish(0, "", f"{PREFIX}-{queue}")) for queue in range(TTL_QUEUES)]
        body = body_frames(BODY_BYTES, client.frame_max)
        for start in range(0, messages, WINDOW):
            client.send(b"".join(
                publishes[number % TTL_QUEUES] + content_header_frame(CHANNEL, BODY_BYTES, _expiration(number)) + body
                for number in range(start, min(start + WINDOW, messages))
            ))
    finally:
        client.close()
    found = count(broker, TTL_QUEUES)
    if found != messages:
        raise LoadError(f"{found:,} messages wait to expire instead of {messages:,}")


def _expiration(number: int) -> bytes:
    return encode_properties(Properties(expiration=str(TTL_MS_MIN + number * TTL_STEP % TTL_MS_SPREAD)))


@contextmanager
def connections(broker: LocalBroker, number: int) -> Iterator[None]:
    """Connections that are open and send a heartbeat twice in an interval, evenly spread."""
    address = parse(broker.url)
    clients = [Client(address, f"idle {index}", HEARTBEAT_S) for index in range(number)]
    ended = threading.Event()

    def beat() -> None:
        pause_s = HEARTBEAT_S / HEARTBEATS_PER_INTERVAL / max(1, number)
        next_s = time.monotonic()
        for client in itertools.cycle(clients):
            next_s += pause_s
            if ended.wait(max(0.0, next_s - time.monotonic())):
                return
            client.send(HEARTBEAT_FRAME)

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        for client in clients:
            client.close()


def count(broker: LocalBroker, queues: int) -> int:
    """Messages that are ready."""
    client = Client(parse(broker.url), "startup")
    try:
        return sum(
            client.call(QueueDeclare(queue=f"{PREFIX}-{number}", passive=True), QueueDeclareOk).message_count
            for number in range(queues)
        )
    finally:
        client.close()


# -- what is told


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]


def _line(row: Row) -> str:
    target = ""
    if row["target"] is not None:
        target = f"{row['target']:10.3f}" + ("" if row["value"] <= row["target"] else "  missed")
    return f"{row['subject']:9} {row['quantity']:42} {row['value']:9.4f} {row['unit']:6}{target}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", action="append", choices=SUBJECTS, help="one or several; default: all")
    parser.add_argument("--messages", type=int, default=10_000_000, help="that are recovered (%(default)s)")
    parser.add_argument("--spread", type=int, default=1000, help="queues that they are spread over (%(default)s)")
    parser.add_argument("--queues", type=int, default=10_000, help="durable, each with a binding (%(default)s)")
    parser.add_argument("--connections", type=int, default=1000, help="that are idle (%(default)s)")
    parser.add_argument("--expiring", type=int, default=1_000_000, help="messages with TTLs (%(default)s)")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="that are watched (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of starts; the best counts (%(default)s)")
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="for the data; default: that for temporary files")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(described(machine()))
    print(f"{'subject':9} {'quantity':42} {'value':>9} {'unit':6}{'at most':>10}")
    measurement = Measurement(options)
    for subject in options.subject or SUBJECTS:
        getattr(measurement, subject)()
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(measurement.rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
