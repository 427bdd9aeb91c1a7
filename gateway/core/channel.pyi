from gateway.core.connection import ConnectionCore
from gateway.core.routes import Way

class ChannelCore:
    """One open channel. Subclasses call super().__init__(connection, number), which enters it under its number."""

    connection: ConnectionCore
    number: int
    handle: int
    closing: bool
    """channel.close was sent, or is about to be: everything but close and close-ok is dropped."""
    notify_settled: bool
    """Call on_settled after acks: set while the channel has a channel-wide prefetch."""
    ack_slack: int
    """With fewer unacknowledged deliveries than this, no consumer of the channel waits for its acknowledgements."""
    reply_to: bytes | None
    """The name of its reply queue while it consumes from one: what publishes with the reply-to amq.rabbitmq.reply-to
    say instead. At most 255 bytes."""

    def __init__(self, connection: ConnectionCore, number: int) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def confirming(self) -> bool: ...
    @property
    def transactional(self) -> bool: ...
    @property
    def unacked_count(self) -> int:
        """Deliveries and gets that the client has not settled (or only in an open transaction)."""
    @property
    def consumer_unacked_count(self) -> int:
        """The same without gets: what a channel-wide prefetch limits."""
    @property
    def unconfirmed_count(self) -> int: ...
    @property
    def uncommitted_publishes(self) -> int: ...
    @property
    def uncommitted_settles(self) -> int: ...
    def delivered_from(self, shard: int) -> int:
        """Manual-ack deliveries to consumers that this shard's incarnation has sent on this channel."""

    # modes (the checks of tx against confirm are the Python side's)
    def confirm_select(self) -> None:
        """Idempotent; the first publish after it has number 1."""
    def tx_select(self) -> None: ...
    def tx_commit(self) -> bool:
        """Sends off what the transaction holds; returns that it held are in the output then. True: nothing to
        wait for. False: pause; on_tx_committed follows when every shard has it (synced where durable)."""
    def tx_rollback(self) -> None:
        """Publishes are forgotten; settled deliveries are unacknowledged again."""

    # consumers and gets
    def add_consumer(self, tag: bytes, shard: int, no_ack: bool) -> int:
        """The handle for the consume request. Deliveries are rendered from now on."""
    def remove_consumer(self, handle: int) -> None:
        """After the shard's answer to cancel, after a refused consume, or on the event `cancelled`."""
    def next_offset(self, handle: int) -> int:
        """Of a consumer of a stream: the offset behind the last message that it was given; 0 where there was none."""
    def ask_get(self, shard: int, request_id: int, queue_id: int, no_ack: bool) -> None:
        """Asks a shard that is up for a message, by a record."""
    def expect_get(self, shard: int, request_id: int, no_ack: bool) -> None:
        """It was asked under this id: GET_OK and GET_EMPTY are rendered into the output, then on_get_ok is called, or
        on_get_gone."""
    def shards(self) -> list[int]:
        """Shards that know this channel, where consumers or gets were ever sent: who is to answer close_channel."""
    def recover(self) -> list[int]:
        """basic.recover with requeue: SETTLE records put all unacknowledged deliveries back (not those settled in an
        open transaction). Returns the shards that have yet to be asked: none, the records say it all."""

    # end
    def close(self) -> None: ...
    def release(self) -> None: ...

    # hooks
    def route(
        self, exchange: bytes, routing_keys: tuple[bytes, ...], headers: bytes | None, has_delay: bool,
        path: tuple[int, ...],
    ) -> Way:
        """Checks write permission, existence, internal, topic permissions; then routes. Remembered until
        the gateway's stamps are touched there; a raised error is not.

        `routing_keys`: that of the publish, then those of CC and BCC, each once. `headers`: the encoded table with its
        length (empty where the message has none), or None where it is not looked at. `has_delay`: x-delayed-message
        exchanges delay the message. `path`: beyond a fork, what was chosen there and at the forks before it."""
    def route_scope(self, exchange: bytes) -> int:
        """What routes from this exchange depend on: 1 the routing keys, 2 the headers, flags; 0 neither. Asked
        before route."""
    def on_settled(self) -> None:
        """Deliveries were settled (once per receive), only while notify_settled."""
    def on_get_gone(self, request_id: int) -> None:
        """There is no such queue any more; the client was told nothing."""
    def on_get_ok(self, request_id: int) -> None:
        """The shard has given a message: get-ok and its content are in the output, unless the channel is closing."""
    def on_tx_committed(self, ok: bool) -> None:
        """Once for each tx_commit that returned False. False: a shard refused a publish or died, or the channel was
        closed: `partial tx completion`."""
