"""What durable messages cost the loop of a shard: append, read, acknowledge, and the begin of each commit.

    python bench/log_append.py [DIRECTORY]      on the file system of DIRECTORY (default: the current one)

Prints for a few sizes and batches the time per message in the loop, and the time of one fdatasync, which in a
shard the sync thread waits for.
"""
from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from log import access
from log.store import Store

SCENARIOS = ((100, 100), (100, 1000), (1024, 200), (65536, 10))     # bytes of a body, messages per commit
TOTAL_BYTES = 1 << 28
MESSAGES_MAX = 300_000


def measure(store: Store, body_bytes: int, batch: int) -> tuple[float, float]:
    """(seconds in the loop per message, seconds of a synchronisation)"""
    batches = max(1, min(MESSAGES_MAX, TOTAL_BYTES // body_bytes) // batch)
    body = b"x" * body_bytes
    loop_s = sync_s = 0.0
    number = 1
    for _ in range(batches):
        start = time.perf_counter()
        entries = access.append_many(store, True, body, 1, number, batch)
        access.read_many(store, entries)
        access.ack_many(store, entries)
        ticket = store.sync_target()
        begun = time.perf_counter()
        if ticket is not None:
            ticket.synchronise()
            store.committed(ticket.position)
        sync_s += time.perf_counter() - begun
        loop_s += begun - start
        number += batch
        for chore in store.take_chores():
            chore.run()
            chore.finish()
    return loop_s / (batches * batch), sync_s / batches


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as directory:
        store = Store(f"{directory}/durable", f"{directory}/transient", f"{directory}/spill", clock_ms=lambda: 1)
        for body_bytes, batch in SCENARIOS:
            loop_s, sync_s = measure(store, body_bytes, batch)
            print(f"{body_bytes:>6} bytes, {batch:>5} per commit: {loop_s * 1e9:>8.0f} ns per message in the loop, "
                  f"{sync_s * 1e3:.3f} ms per fdatasync")
        store.close()


if __name__ == "__main__":
    main()
