"""An engine on a store in temporary directories, and the gateway's end of its batches."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from log.store import Store
from shards.engine import Engine
from tests.unit.shards import wire

SEGMENT_BYTES = 64 << 10
GATEWAYS = 2


class Bench:
    """Hands batches to an engine and takes what it answers."""

    def __init__(self, root: Path, **options: Any) -> None:
        options = {"segment_bytes": SEGMENT_BYTES, "clock_ms": lambda: 1_700_000_000_000} | options
        self.store = Store(str(root / "durable"), str(root / "transient"), str(root / "spill"), **options)
        self.engine = Engine(self.store, GATEWAYS)

    def feed(self, *records: bytes, gateway: int = 0) -> None:
        """A batch without JSON, and the dispatch after it."""
        batch = b"".join(records)
        assert self.engine.receive(gateway, batch) == len(batch)
        self.engine.dispatch()

    def take(self, gateway: int = 0) -> list[Any]:
        """What waits for the gateway, as if the link took it."""
        batch = bytes(self.engine.outgoing(gateway))
        self.engine.sent(gateway)
        return wire.parse(batch)

    def bodies(self, gateway: int = 0) -> list[bytes]:
        return [record.body for record in self.take(gateway)]

    def consume(self, consumer: int = 1, queue_id: int = 1, *, gateway: int = 0, channel: int = 1, connection: int = 1,
                no_ack: bool = False, exclusive: bool = False, prefetch: int = 0, priority: int = 0,
                arrival: int = 0, was_active: bool = False) -> None:
        self.engine.consume(gateway, queue_id, consumer, channel, connection, no_ack=no_ack, exclusive=exclusive,
                            prefetch=prefetch, priority=priority, arrival=arrival, was_active=was_active)
        self.engine.dispatch()

    def ready(self, queue_id: int = 1) -> int:
        return self.engine.count(queue_id)[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.engine.add_queue(1, True, False)
    made.engine.add_queue(2, False, False)
    return made
