from typing import Any

from typing_extensions import Buffer

from amqp091.errors import ChannelError, ConnectionLevelError
from bus.batch import Batch
from bus.room import Room
from gateway.core.gateway import GatewayCore

PAUSE_METHOD: int
"""An asynchronous method is under way (the Python side's reason)."""
PAUSE_HELD: int
PAUSE_OUTPUT: int
PAUSE_PACE: int
"""The core held a publish back: alarm or congested link."""

class ConnectionCore:
    """Input in order, output in one batch. Subclasses call super().__init__(gateway)."""

    gateway: GatewayCore
    handle: int
    frame_max: int
    """Limit for frames both ways, whole frame with its 8 bytes; starts at 8192, set after tune-ok. 0: no limit."""
    opened: bool
    """Set by the Python side after connection.open-ok; before it, frames of other channels than 0 are 505."""
    closing: bool
    """connection.close was sent, or is about to be: everything but close and close-ok is dropped."""
    vhost: str
    """Set before the first channel: its name is a part of what routes are remembered by."""
    user_id: bytes
    """The authenticated user, compared with the user-id property of publishes."""
    impersonator: bool
    """The user may publish any user-id."""
    roomless: bool
    """Its socket cannot be read into rooms, as over TLS: its shards need not give any."""
    feeds_flood: int
    """Id of a flooded queue that it has published to since this was set to 0."""
    writable: bool
    """Set False in pause_writing, True in resume_writing: credit is returned only while True."""

    def __init__(self, gateway: GatewayCore) -> None: ...
    @property
    def paused(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def has_published(self) -> bool:
        """A basic.publish frame was seen on it, ever."""
    @property
    def has_settled(self) -> bool:
        """A basic.ack, nack or reject was."""
    @property
    def channels(self) -> dict[int, Any]:
        """The channels (of the subclass) by number, not to be changed: __init__ adds, remove_channel removes."""
    @property
    def output_bytes(self) -> int: ...
    @property
    def backlog_bytes(self) -> int:
        """Input kept: a part of a frame, or everything behind a pause."""

    def receive(self, view: Buffer) -> None:
        """Handles what is complete, keeps the rest. While paused it keeps everything: the caller stops reading then."""
    def room_to_read(self) -> Room | None:
        """Where the next read is to go: the room as a buffer is its window. None: anywhere, then to `receive`."""
    def receive_read(self, room: Room, n: int) -> None:
        """Handles so many bytes that were read into the window."""
    def pause(self, reason: int = ...) -> None: ...
    def resume(self, reason: int = ...) -> None:
        """Takes one reason away; when none is left, goes on with the kept input: at once, or where a hook of this
        connection's receive called it, when that hook returns."""
    def write(self, frame: Buffer) -> None:
        """Appends whole frames to the output."""
    def take_output(self) -> Batch | None:
        """The output so far, as a bytes-like object that is now the caller's to hand to the transport."""
    @property
    def has_lent(self) -> bool:
        """Bodies that lie elsewhere belong to its output."""
    def send_straight(self, descriptor: int) -> int:
        """Writes the output to a socket for which nothing waits; returns the bytes that it took. The rest is kept."""
    def keep_lent(self) -> None:
        """Copies the lent bodies into the output."""
    def remove_channel(self, number: int) -> None: ...
    def close(self) -> None:
        """The socket is gone or is going: forgets everything, releases all handles; output stays until taken."""

    # hooks
    def on_protocol_header(self, header: bytes) -> None:
        """The first 8 bytes, whatever they are. Frames follow unless the handler sets closing."""
    def on_method(self, channel_number: int, class_id: int, method_id: int, arguments: bytes) -> None:
        """Every method but basic.publish, ack, nack, reject on an open channel; on one that is not open, these too."""
    def on_channel_error(self, channel_number: int, error: ChannelError) -> None: ...
    def on_connection_error(self, error: ConnectionLevelError) -> None: ...
    def on_publish_held(self, shard: int) -> None: ...
    def on_lent_lost(self, shard: int) -> None:
        """A delivery's body lies in a file that could not be opened. The delivery was dropped, so the connection has to
        end: then the shard gives the message to somebody else."""
