"""A consumer as its channel knows it. A record only; the channel decides what becomes of it."""
from dataclasses import dataclass, field, replace
from typing import Any, Final

from amqp091.tables import to_json
from topology.model import Queue

NO_QUEUE_ID: Final = 0
"""Of a reply queue whose shard has not answered yet; no queue has it."""


@dataclass(slots=True, eq=False)
class Consumer:
    """What basic.consume asked for, and enough to ask a restarted shard for it again."""

    tag: str
    queue: Queue
    handle: int
    no_ack: bool
    exclusive: bool
    prefetch_count: int
    arguments: dict[str, Any] = field(default_factory=dict)
    attached: bool = False
    """The shard has answered: it is attached again after a restart of its shard. Until then the request itself is
    sent again."""
    arrival: int | None = None
    """Of a queue with a single active consumer: its place among the others, which it keeps through restarts."""
    active: bool = True
    """Not one that waits for another to go."""
    stream_offset: int | None = None
    """Of a stream: where it goes on after a restart of its shard, whatever it asked for at first."""

    @property
    def activity_status(self) -> str:
        """As RabbitMQ lists it."""
        if not self.attached:
            return "suspected_down"
        if self.arrival is None:
            return "up"
        return "single_active" if self.active else "waiting"

    def granted(self, answer: dict[str, Any]) -> None:
        """The shard's answer."""
        self.attached = True
        self.arrival = answer.get("arrival")
        self.active = answer.get("active", True)
        self.stream_offset = answer.get("stream_offset")

    def request(self, channel: int, connection: int) -> dict[str, Any]:
        """The document that asks its shard for deliveries."""
        standing = {} if self.arrival is None else {"arrival": self.arrival, "active": self.active}
        return {
            **({} if self.stream_offset is None else {"stream_offset": self.stream_offset}),
            "verb": "consume",
            "queue_id": self.queue.queue_id,
            "consumer": self.handle,
            "channel": channel,
            "connection": connection,
            "tag": self.tag.encode("utf-8", "backslashreplace").decode("utf-8"),
            "no_ack": self.no_ack,
            "exclusive": self.exclusive,
            "prefetch": self.prefetch_count,
            "arguments": to_json(self.arguments),
            **standing,
        }


class ReplyConsumer(Consumer):
    """The consumer of replies (direct reply-to). It comes and goes with its queue, to which the shard gives an id."""

    __slots__ = ()

    def opened(self, queue_id: int) -> None:
        self.queue = replace(self.queue, queue_id=queue_id)

    def request(self, channel: int, connection: int) -> dict[str, Any]:
        """Opens the queue with it: a new one, or the one of before the restart of the shard."""
        return {
            "verb": "reply_queue.open",
            "queue_id": self.queue.queue_id if self.queue.queue_id != NO_QUEUE_ID else None,
            "consumer": self.handle,
            "channel": channel,
            "connection": connection,
        }
