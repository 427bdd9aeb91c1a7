"""What a drained backlog leaves behind goes back to the system."""
import os

import pytest

from shards.heap import Heap
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import credit, publish

QUEUES = range(10, 60)


def anonymous_bytes() -> int:
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def test_memory_of_a_backlog_is_given_back(bench: Bench) -> None:
    heap = Heap(4 << 20)
    if heap._trim is None or heap._figures is None or "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("not the allocator of glibc")
    heap.give_back()
    for queue_id in QUEUES:
        bench.engine.add_queue(queue_id, False, False)
    for _ in range(60):
        for queue_id in QUEUES:
            bench.engine.receive(0, publish(queue_id, b"") * 200)
    heap.give_back()                # as often as it is asked, it knows what is in use
    peak = anonymous_bytes()
    for queue_id in QUEUES:
        bench.consume(queue_id, queue_id, no_ack=True)
    sent = 0
    while not bench.engine.idle or len(bench.engine.outgoing(0)):
        sent += len(bench.engine.outgoing(0))
        bench.engine.sent(0)
        bench.engine.receive(0, credit(1, sent))
        bench.engine.dispatch()
    assert bench.engine.statistics()["messages_ready"] == 0
    heap.give_back()
    assert peak - anonymous_bytes() > 6 << 20
    assert not heap.give_back()
