from collections.abc import Iterable

KEEPS_ALL: int
"""Durability of a target that keeps every message on the disk, whatever its delivery mode."""

class Route:
    """Where messages with one exchange and routing key go: the answer of ChannelCore.route, immutable.

    `targets`: (shard, queue_id, durable or KEEPS_ALL) per queue, each queue once. Empty: unroutable.
    `returns_mandatory`: a mandatory message is returned although it has somewhere to go, as a reply.
    """

    def __init__(self, targets: Iterable[tuple[int, int, int]] = (), returns_mandatory: bool = False) -> None: ...
    @property
    def targets(self) -> list[tuple[int, int, int]]: ...
