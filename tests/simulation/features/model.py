"""A queue with all its features, in plain Python: what the engine has to do, message by message.

One consumer at most per queue, so that the order of everything is known. Slow and simple. Times are ms.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from topology.backoff import Backoff

DROP_HEAD = "drop-head"
REJECT_DLX = "reject-publish-dlx"
DEATH = Callable[["Queue", "Message", str], None]


@dataclass
class Message:
    """One copy of a message. `number` orders the queue, `logged` is the number that the log knows."""

    number: int
    logged: int
    body: bytes
    priority: int
    not_before_ms: int | None
    ttl_ms: int | None
    expires_at_ms: int | None
    deliveries: int = 0
    failures: int = 0
    returned: bool = False          # waits to be ready again after it was delivered


@dataclass
class Settings:
    """What features the queue has."""

    quorum: bool = False
    message_ttl_ms: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = DROP_HEAD
    max_priority: int | None = None
    delivery_limit: int | None = None
    backoff: Backoff | None = None


@dataclass
class Consumer:
    """The consumer of a queue; `held` are the sequences of its own deliveries that await an answer."""

    handle: int
    prefetch: int
    no_ack: bool
    held: set[int] = field(default_factory=set)


class Queue:
    """Its messages, wherever they are. What dies is told to `on_death`, in order."""

    def __init__(self, settings: Settings, on_death: DEATH) -> None:
        self.settings = settings
        self.on_death = on_death
        self.ready: list[Message] = []
        self.delayed: list[Message] = []
        self.unacked: dict[int, Message] = {}
        self.sequence = 0                               # of the queue's channel
        self.next_number = 1
        self.consumer: Consumer | None = None
        self.delivered: list[tuple[bytes, int]] = []    # (body, earlier deliveries), of this step, in order

    def live(self) -> int:
        return len(self.ready) + len(self.delayed) + len(self.unacked)

    # order

    def lane(self, message: Message) -> int:
        highest = self.settings.max_priority
        return 0 if highest is None else min(message.priority, highest)

    def first(self) -> Message | None:
        return min(self.ready, key=lambda message: (-self.lane(message), message.number), default=None)

    def heads(self) -> list[Message]:
        """The first of each priority."""
        heads: dict[int, Message] = {}
        for message in self.ready:
            lane = self.lane(message)
            if lane not in heads or message.number < heads[lane].number:
                heads[lane] = message
        return [heads[lane] for lane in sorted(heads)]

    # coming

    def too_long(self, count: int, size_bytes: int) -> bool:
        length, length_bytes = self.settings.max_length, self.settings.max_length_bytes
        return (length is not None and count > length) or (length_bytes is not None and size_bytes > length_bytes)

    def ready_bytes(self) -> int:
        return sum(len(message.body) for message in self.ready)

    def admits(self, body: bytes, delayed: bool) -> bool:
        """Whether it takes a message; reject-publish-dlx lets it die otherwise."""
        if (
            self.settings.overflow == DROP_HEAD or delayed
            or not self.too_long(len(self.ready) + 1, self.ready_bytes() + len(body))
        ):
            return True
        if self.settings.overflow == REJECT_DLX:
            self.on_death(self, Message(0, 0, body, 0, None, None, None), "maxlen")
        return False

    def publish(self, body: bytes, priority: int, ttl_ms: int | None, not_before_ms: int | None, now_ms: int) -> None:
        """A message that it admits."""
        ttl_ms = min((ttl for ttl in (ttl_ms, self.settings.message_ttl_ms) if ttl is not None), default=None)
        begins_ms = now_ms if not_before_ms is None else not_before_ms
        message = Message(
            self.next_number, self.next_number, body, priority, not_before_ms, ttl_ms,
            None if ttl_ms is None else begins_ms + ttl_ms,
        )
        self.next_number += 1
        if not_before_ms is not None and not_before_ms > now_ms:
            self.delayed.append(message)
        else:
            self.enter(message, now_ms)

    def enter(self, message: Message, now_ms: int) -> None:
        if message.expires_at_ms is not None and self.ready:
            self.dispatch(now_ms)
        if not self.ready and self.can_deliver():
            self.deliver(message)
            return
        self.ready.append(message)
        self.enforce(now_ms)

    def take_back(self, message: Message, now_ms: int) -> None:
        self.ready.append(message)
        self.enforce(now_ms)

    def give_back(self, message: Message, now_ms: int, failed: bool) -> None:
        """After a delivery that was not acknowledged."""
        message.failures += failed
        limit, backoff = self.settings.delivery_limit, self.settings.backoff
        if self.settings.quorum and limit is not None and message.failures > limit:
            self.on_death(self, message, "delivery_limit")
            return
        if backoff is not None and (backoff.of_failed if failed else backoff.of_given_back):
            pause = backoff.min_ms * (
                message.deliveries if backoff.factor is None else backoff.factor ** (message.deliveries - 1))
            message.not_before_ms = now_ms + int(min(pause, backoff.max_ms))
            message.returned = True
            self.delayed.append(message)
            return
        self.take_back(message, now_ms)

    # going

    def enforce(self, now_ms: int) -> None:
        if self.settings.overflow != DROP_HEAD:
            return
        while self.ready and self.too_long(len(self.ready), self.ready_bytes()):
            first = self.first()
            self.die(first, "expired" if self.expired(first, now_ms) else "maxlen")

    def die(self, message: Message | None, reason: str) -> None:
        assert message is not None
        self.ready.remove(message)
        self.on_death(self, message, reason)

    def expired(self, message: Message | None, now_ms: int) -> bool:
        return message is not None and message.expires_at_ms is not None and message.expires_at_ms <= now_ms

    def can_deliver(self) -> bool:
        consumer = self.consumer
        return consumer is not None and (
            consumer.no_ack or consumer.prefetch == 0 or len(consumer.held) < consumer.prefetch)

    def deliver(self, message: Message) -> None:
        assert self.consumer is not None
        self.delivered.append((message.body, message.deliveries))
        if not self.consumer.no_ack:
            self.consumer.held.add(self.hold(message))

    def hold(self, message: Message) -> int:
        message.deliveries += 1
        self.sequence += 1
        self.unacked[self.sequence] = message
        return self.sequence

    def dispatch(self, now_ms: int) -> None:
        while True:
            while self.expired(self.first(), now_ms):
                self.die(self.first(), "expired")
            message = self.first()
            if message is None or not self.can_deliver():
                return
            self.ready.remove(message)
            self.deliver(message)

    def get(self, now_ms: int, no_ack: bool) -> Message | None:
        while self.expired(self.first(), now_ms):
            self.die(self.first(), "expired")
        message = self.first()
        if message is not None:
            self.ready.remove(message)
            if not no_ack:
                self.hold(message)
        return message

    def settle(self, sequence: int) -> Message:
        if self.consumer is not None:
            self.consumer.held.discard(sequence)
        return self.unacked.pop(sequence)

    # time

    def on_time(self, now_ms: int) -> None:
        while due := [message for message in self.delayed if (message.not_before_ms or 0) <= now_ms]:
            message = min(due, key=lambda message: (message.not_before_ms or 0, message.number))
            self.delayed.remove(message)
            if message.returned:
                message.returned = False
                self.take_back(message, now_ms)
                continue
            message.number = self.next_number
            self.next_number += 1
            self.enter(message, now_ms)
        for head in self.heads():
            lane = self.lane(head)
            while (first := next((m for m in self.heads() if self.lane(m) == lane), None)) and self.expired(
                    first, now_ms):
                self.die(first, "expired")

    # a crash

    def recovered(self, now_ms: int) -> None:
        """All that was held is ready again, in the order of the log; what waited after a delivery is ready, too."""
        self.consumer = None
        everything = [*self.ready, *self.unacked.values(), *self.delayed]
        for message in everything:
            if self.settings.quorum and message.deliveries:
                # the log keeps the failed ones, and 1 at least once it was delivered
                message.deliveries = message.failures = max(1, message.failures)
        self.ready, self.delayed, self.unacked, self.sequence = [], [], {}, 0
        for message in everything:
            message.number = message.logged
            waits = message.not_before_ms is not None and message.not_before_ms > now_ms and not message.returned
            message.returned = False
            (self.delayed if waits else self.ready).append(message)
        self.enforce(now_ms)
