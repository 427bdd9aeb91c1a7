"""Limits that both ends of a link must agree on. bus/limits.pxd has the same numbers for compiled code."""
from typing import Final

CONNECTION_WINDOW_BYTES: Final = 1024 * 1024
"""A shard stops dispatching to a connection that is this far ahead of its CREDIT: a client that does not read
its socket costs a gateway at most this per shard (and one message)."""
LINK_RING_BYTES: Final = 2 * 1024 * 1024
"""Default size of one direction of a link: in flight between two processes, small enough to stay in the cache."""

SHARD_LINK_RING_BYTES_MAX: Final = 256 * 1024
"""Of a link between two shards, whatever others have: few messages die on one shard and go to another, and of these
links there may be nearly as many as the square of the shards."""

LINK_PENDING_BYTES_MAX: Final = 4 * 1024 * 1024
"""What may wait on one side of a link for room at the other before the link counts as congested."""

LINK_BATCH_BYTES_MAX: Final = 1024 * 1024 * 1024
"""A batch over this is nobody's: the largest message has 512 MiB."""

LINK_TURN_BATCHES_MAX: Final = 64
"""Batches taken from one link before the others, and the sockets, have their turn."""

CONTROL_MESSAGE_BYTES_MAX: Final = 1 << 30
"""A snapshot of the whole topology is one message on the control bus; more than this is no snapshot."""

ROOM_BODY_BYTES_MAX: Final = 15 * 1024 * 1024
"""A larger body is copied: no room of a shard's log, into which gateways read, has a place for it (16 MiB)."""

ROOM_IDLE_S: Final = 30.0
"""Rooms into which nothing was read for so long, or twice as long, go back to their shard, and what that keeps of them
to the system. Long beside the pauses of a publisher; the first large bodies after it are copied."""

LENT_BODY_BYTES_MIN: Final = 16 * 1024
"""A body of this size or more stays in the log until the gateway writes it to the socket. Below it, to copy it along
costs less than to find it again."""
