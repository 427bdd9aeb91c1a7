from typing_extensions import Buffer

from bus.batch import Batch
from bus.ring import RingEnd
from gateway.core.channel import ChannelCore
from gateway.core.connection import ConnectionCore
from gateway.core.route_stamps import RouteStamps

KIND_REQUEST: int
KIND_RESPONSE: int
KIND_EVENT: int
SHARD_COUNT_MAX: int
MAX_MESSAGE_BYTES_DEFAULT: int

class GatewayCore:
    """Handle tables, outgoing batches per shard, what awaits a watermark. One per process."""

    stamps: RouteStamps
    """Whoever changes the topology touches what it may have altered: remembered routes are dropped lazily."""
    publishes_blocked: bool
    """Memory or disk alarm: connections stop before their next basic.publish."""
    max_message_bytes: int

    def __init__(self, shard_count: int, max_message_bytes: int = ...) -> None: ...
    @property
    def shard_count(self) -> int: ...

    # to the shards
    def outgoing(self, shard: int) -> Batch: ...
    def pending_shards(self) -> list[int]:
        """Shards whose outgoing batch is not empty. What was written straight into rings is handed over first."""
    def use_ring(self, shard: int, ring: RingEnd) -> None:
        """After shard_up, where memory is shared: large publishes are then written where the shard reads them."""
    def sent(self, shard: int, next_batch_number: int) -> None:
        """The outgoing batch was given to the link: clears it; the next will have this number."""
    def request(self, shard: int, request_id: int, document: bytes) -> bool:
        """Appends a JSON REQUEST record. False where the shard is down: nothing was appended."""
    def event(self, shard: int, document: bytes) -> bool:
        """Appends a JSON EVENT record; False where the shard is down."""
    def credits(self) -> None:
        """Appends CREDIT records for the connections whose output has left, see the package's page."""
    def set_congested(self, shard: int, congested: bool) -> None: ...
    def set_flooded(self, queue_id: int, flooded: bool) -> None:
        """A connection that publishes to it has feeds_flood set. Beyond FLOODED_MAX queues further ones are not."""

    # from the shards
    def on_batch(self, shard: int, view: Buffer) -> None:
        """Applies a whole batch in order: DELIVER, GET_OK, WATERMARK, REFUSED here, JSON through on_json.
        Raises BadRecord where a record's lengths lie: the link is then to be treated as broken."""
    def lend(self, shard: int, number: int, path: str, mapped_bytes: int, beginning: bytes = b"") -> None:
        """A file of the shard's log, of which deliveries will name parts by that number. OSError where it is gone,
        ValueError where it does not begin so: a shard that came after has given its name to another one."""
    def lend_end(self, shard: int, number: int) -> None:
        """Nothing more of that file will be named."""
    def room(
        self, shard: int, number: int, path: str, mapped_bytes: int, start: int, end: int, beginning: bytes = b"",
    ) -> None:
        """The shard has given room in a file of its log, to be used from start to end. OSError and ValueError as for
        `lend`."""
    def end_idle_rooms(self) -> None:
        """Rooms of shards into which nothing was read since the last call go back; others come when they are wanted."""
    def take_lent(self) -> list[ConnectionCore]:
        """After each batch, before it is given back: connections whose output names lent bodies, each once. Each is to
        be written (ConnectionCore.send_straight) or to have its bodies copied (keep_lent)."""
    def end_files(self) -> None:
        """After that: files that have ended are let go."""
    def shard_up(self, shard: int, next_batch_number: int = 1) -> None:
        """The link stands, to a fresh incarnation. Shards start as down. What was published to it meanwhile is
        in its outgoing batch."""
    def shard_down(self, shard: int) -> None:
        """Publishes in flight to it are nacked, its deliveries become stale, its outgoing batch is dropped
        with the requests in it, expected gets are forgotten. What is published from now on waits for it in the
        outgoing batch; each connection that does is held (on_publish_held), so there is one publish of each."""
    def shard_lost(self, shard: int) -> None:
        """It does not come back soon: what waits for it is nacked, and what is published to it refused at once,
        until shard_up."""
    def shard_is_up(self, shard: int) -> bool: ...

    # to the clients
    def dirty(self) -> list[ConnectionCore]:
        """Connections that have output since the last call, each once."""

    # handles
    def connection(self, handle: int) -> ConnectionCore | None: ...
    def channel(self, handle: int) -> ChannelCore | None: ...
    def consumer(self, handle: int) -> tuple[ChannelCore, bytes] | None:
        """The channel and the consumer tag."""

    # hooks
    def send_outgoing(self, shard: int) -> None:
        """The outgoing batch has grown large within a turn: give it to the link and call sent(). Doing nothing is
        allowed: it grows on."""
    def wall_clock_ms(self) -> int:
        """Milliseconds since 1970. Asked for a message that is to be delayed."""
    def on_json(self, shard: int, kind: int, request_id: int, document: bytes) -> None:
        """KIND_RESPONSE or KIND_EVENT (KIND_REQUEST too, should a shard ever ask), in record order."""
