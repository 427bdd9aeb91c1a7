"""A consumer as its channel knows it. A record only; the channel decides what becomes of it."""
from dataclasses import dataclass, field
from typing import Any

from amqp091.tables import to_json
from topology.model import Queue


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

    def request(self, channel: int, connection: int) -> dict[str, Any]:
        """The document that asks its shard for deliveries."""
        return {
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
        }
