"""Brokers for a measurement: RabbitMQ and Warren side by side, each with fresh data, started again if one died."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.perf.errors import LoadError
from bench.perf.run import Target
from tests.harness import oracle
from tests.harness.warren import Warren, alive

Broker = oracle.RabbitMQ | Warren


class Brokers:
    """Owns what it started; the directory is the caller's."""

    def __init__(self, directory: Path, names: Sequence[str], gateways: int | None, shards: int | None) -> None:
        self.directory = directory
        self.names = list(names)
        self._gateways, self._shards = gateways, shards
        self._running: dict[str, Broker] = {}
        self._starts = 0

    def targets(self) -> list[Target]:
        """All of them, in their order; those that do not run are started. LoadError where one does not start."""
        return [self._target(name) for name in self.names]

    def stop(self) -> None:
        for broker in self._running.values():
            broker.stop()
        self._running.clear()

    def _target(self, name: str) -> Target:
        broker = self._running.get(name)
        if broker is None or not _alive(broker):
            if broker is not None:
                broker.stop()
            broker = self._running[name] = self._started(name)
        return Target([f"amqp://{broker.host}:{broker.port}"], [_pid(broker)], name)

    def _started(self, name: str) -> Broker:
        self._starts += 1
        directory = self.directory / f"{name}-{self._starts}"
        broker: Broker = (oracle.RabbitMQ(directory) if name == "rabbitmq"
                          else Warren(directory, gateways=self._gateways, shards=self._shards))
        try:
            broker.start()
        except Exception as error:
            broker.stop()
            raise LoadError(f"{name} does not start: {error}") from error
        return broker


def _pid(broker: Broker) -> int:
    return broker.pid if isinstance(broker, oracle.RabbitMQ) else broker.supervisor_pid


def _alive(broker: Broker) -> bool:
    try:
        return alive(_pid(broker))
    except RuntimeError:
        return False
