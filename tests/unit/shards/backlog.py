"""A program: has an engine take a backlog and give it away, and prints what that left of its memory.

Three numbers: messages that are left, bytes that went back to the system, whether there was more to give back.
"""
import sys
from pathlib import Path

from shards.heap import Heap
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import credit, publish

QUEUES = range(10, 60)


def anonymous_bytes() -> int:
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def main(directory: Path) -> None:
    heap = Heap(4 << 20)
    heap.give_back()
    bench = Bench(directory)
    for queue_id in QUEUES:
        bench.engine.add_queue(queue_id, False, False)
    for _ in range(60):
        for queue_id in QUEUES:
            bench.engine.receive(0, publish(queue_id, b"") * 200)
    heap.give_back()        # as often as it is asked, it knows what is in use
    peak = anonymous_bytes()
    for queue_id in QUEUES:
        bench.consume(queue_id, queue_id, no_ack=True)
    sent = 0
    while not bench.engine.idle or len(bench.engine.outgoing(0)):
        sent += len(bench.engine.outgoing(0))
        bench.engine.sent(0)
        bench.engine.receive(0, credit(1, sent))
        bench.engine.dispatch()
    left = bench.engine.statistics()["messages_ready"]
    heap.give_back()
    print(left, peak - anonymous_bytes(), int(heap.give_back()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
