from collections.abc import Iterable

from topology.choice import Choice

KEEPS_NONE: int
KEEPS_PERSISTENT: int
KEEPS_ALL: int
Target = tuple[int, int, int]
"""(shard, queue_id, durable): which messages the queue keeps on the disk, KEEPS_*."""

class Way:
    """What ChannelCore.route answers."""

class Route(Way):
    """Where messages go, immutable.

    `targets`: each queue once; `delayed`: those that get a message with an x-delay after it. Both empty: unroutable.
    `returns_mandatory`: a mandatory message is returned although it has somewhere to go, as a reply.
    """

    def __init__(
        self, targets: Iterable[Target] = (), returns_mandatory: bool = False, *, delayed: Iterable[Target] = ()
    ) -> None: ...
    @property
    def targets(self) -> list[Target]: ...
    @property
    def delayed(self) -> list[Target]: ...

class Fork(Way):
    """Messages go one of several ways, and the core chooses for each. It asks for a way by `path` and its index."""

    def __init__(self, choice: Choice, path: tuple[int, ...] = ()) -> None: ...
    @property
    def choice(self) -> Choice: ...
    @property
    def path(self) -> tuple[int, ...]: ...
