"""Which shard a new queue is placed on: rendezvous hashing over the shards.

The result is recorded with the queue, so it matters only at its declaration: a
changed number of shards moves no queue, and a queue that is declared again
after a deletion mostly comes back to where it was.
"""
from __future__ import annotations

import hashlib

WEIGHT_BYTES = 8


def place(vhost: str, name: str, shard_count: int) -> int:
    """The index of the shard with the highest weight for this queue."""
    if shard_count < 1:
        raise ValueError("there is no shard to place a queue on")
    key = vhost.encode("utf-8", "surrogateescape") + b"\0" + name.encode("utf-8", "surrogateescape")
    return max(range(shard_count), key=lambda shard: _weight(key, shard))


def _weight(key: bytes, shard: int) -> bytes:
    return hashlib.blake2b(key, digest_size=WEIGHT_BYTES, salt=shard.to_bytes(WEIGHT_BYTES, "little")).digest()
