"""What a shard has to do, in plain Python: the model that the engine is compared with.

Slow and simple. It is told every operation and every delivery, and raises AssertionError
where the engine did something that it must not, or left out something that it must do.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WINDOW_BYTES = 1 << 20
TURN_BYTES = 1 << 19
UNLIMITED = 0


@dataclass
class Message:
    """One copy of a message, in one queue."""

    queue: int
    number: int
    body: bytes
    deliveries: int = 0


@dataclass
class Queue:
    """Ready messages by number; unacknowledged ones are in their channels."""

    queue_id: int
    ready: dict[int, Message] = field(default_factory=dict)
    next_number: int = 1
    exclusive: bool = False


@dataclass
class Consumer:
    """One consumer, alive or cancelled."""

    gateway: int
    handle: int
    queue: int
    channel: Channel
    no_ack: bool
    prefetch: int
    exclusive: bool
    priority: int = 0
    unacked: int = 0


@dataclass
class Channel:
    """One channel; `unacked` by delivery sequence."""

    gateway: int
    handle: int
    connection: Connection
    sequence: int = 0
    unacked: dict[int, tuple[Message, Consumer | None]] = field(default_factory=dict)
    limit: int | None = None
    credit_out: int = 0
    wanted: int = 0
    asking: bool = False

    def held(self) -> int:
        return sum(1 for _, consumer in self.unacked.values() if consumer is not None)


@dataclass
class Connection:
    """One connection with its window."""

    gateway: int
    handle: int
    delivered_bytes: int = 0
    credited_bytes: int = 0

    @property
    def full(self) -> bool:
        return self.full_with(0)

    def full_with(self, more_bytes: int) -> bool:
        return self.delivered_bytes + more_bytes - self.credited_bytes >= WINDOW_BYTES


def number_in(body: bytes, queue_id: int) -> int:
    """The message's number in this queue, which its body tells."""
    return int(body.split(b":")[0].split(b",")[queue_id - 1])


class Model:
    """All queues and what gateways have here."""

    def __init__(self) -> None:
        self.queues: dict[int, Queue] = {}
        self.connections: dict[tuple[int, int], Connection] = {}
        self.channels: dict[tuple[int, int], Channel] = {}
        self.consumers: dict[tuple[int, int], Consumer] = {}
        self.congested: set[int] = set()
        self.done: set[tuple[int, int]] = set()         # (queue, number) that must never come again

    # what is done to the engine

    def publish(self, queue_ids: list[int], body: bytes) -> None:
        for queue_id in queue_ids:
            queue = self.queues.get(queue_id)
            if queue is not None:
                queue.ready[queue.next_number] = Message(queue_id, queue.next_number, body)
                queue.next_number += 1

    def settle(self, channel: Channel, sequence: int, multiple: bool, requeue: bool) -> None:
        if multiple:
            found = [s for s in channel.unacked if s <= sequence] if sequence <= channel.sequence else []
        else:
            found = [sequence] if sequence in channel.unacked else []
        for s in found:
            message, consumer = channel.unacked.pop(s)
            if consumer is not None:
                consumer.unacked -= 1
            if requeue:
                self.queues[message.queue].ready[message.number] = message
            else:
                self.done.add((message.queue, message.number))

    def requeue_all(self, channel: Channel) -> None:
        for s in list(channel.unacked):
            self.settle(channel, s, False, True)

    def cancel(self, consumer: Consumer) -> None:
        del self.consumers[consumer.gateway, consumer.handle]
        if consumer.exclusive:
            self.queues[consumer.queue].exclusive = False

    def close_channel(self, channel: Channel) -> None:
        for consumer in [c for c in self.consumers.values() if c.channel is channel]:
            self.cancel(consumer)
        self.requeue_all(channel)
        del self.channels[channel.gateway, channel.handle]

    def close_connection(self, connection: Connection) -> None:
        for channel in [c for c in self.channels.values() if c.connection is connection]:
            self.close_channel(channel)
        del self.connections[connection.gateway, connection.handle]

    def gateway_down(self, gateway: int) -> None:
        for connection in [c for c in self.connections.values() if c.gateway == gateway]:
            self.close_connection(connection)
        self.congested.discard(gateway)

    def delete(self, queue: Queue, numbers: list[int]) -> None:
        """All of them are ready."""
        for number in numbers:
            del queue.ready[number]
            self.done.add((queue.queue_id, number))

    def held_of(self, queue_id: int) -> list[int]:
        """The numbers of what channels hold of a queue."""
        return [
            message.number for channel in self.channels.values() for message, _ in channel.unacked.values()
            if message.queue == queue_id
        ]

    def purge(self, queue: Queue) -> int:
        count = len(queue.ready)
        self.done.update((queue.queue_id, number) for number in queue.ready)
        queue.ready.clear()
        return count

    def remove_queue(self, queue: Queue) -> list[tuple[int, int]]:
        cancelled = [key for key, consumer in self.consumers.items() if consumer.queue == queue.queue_id]
        for key in cancelled:
            self.cancel(self.consumers[key])
        for channel in self.channels.values():
            for s in [s for s, (message, _) in channel.unacked.items() if message.queue == queue.queue_id]:
                channel.unacked.pop(s)
        del self.queues[queue.queue_id]
        return cancelled

    # what the engine did

    def delivered(self, gateways: list[list[Any]]) -> None:
        """The deliveries of one step, by gateway: of each queue the lowest numbers, ascending for each consumer."""
        taken: dict[int, list[int]] = {}
        last: dict[tuple[int, int], int] = {}
        self.check_priorities(gateways)
        for gateway, records in enumerate(gateways):
            for record in records:
                key = (gateway, record.consumer)
                consumer = self.consumers[key]
                assert consumer.queue == record.queue_id
                queue = self.queues[record.queue_id]
                number = number_in(record.body, consumer.queue)
                message = queue.ready.get(number)
                assert (queue.queue_id, number) not in self.done
                assert message is not None, f"message {number} of queue {queue.queue_id} is not ready"
                assert message.body == record.body
                assert number > last.get(key, 0), "out of order"
                last[key] = number
                taken.setdefault(queue.queue_id, []).append(number)
                self._delivered_one(consumer, message, record)
        for queue_id, numbers in taken.items():
            queue = self.queues[queue_id]
            lowest = sorted(queue.ready)[: len(numbers)]
            assert sorted(numbers) == lowest, f"queue {queue_id}: {sorted(numbers)} before {lowest}"
            for number in numbers:
                del queue.ready[number]

    def check_priorities(self, gateways: list[list[Any]]) -> None:
        """No message passes by a consumer of higher priority that could have taken it.

        The order of one queue's deliveries is known, that of several queues' is not: who is blocked by another
        queue's deliveries counts as blocked from the start.
        """
        turn_bytes = [sum(record.record_bytes for record in records) for records in gateways]
        connection_bytes: dict[tuple[int, int], int] = {}
        held: dict[int, int] = {}
        deliveries: dict[int, list[tuple[int, Consumer]]] = {}
        for gateway, records in enumerate(gateways):
            for record in records:
                consumer = self.consumers[gateway, record.consumer]
                connection = (gateway, consumer.channel.connection.handle)
                connection_bytes[connection] = connection_bytes.get(connection, 0) + record.record_bytes
                if not consumer.no_ack:
                    held[id(consumer.channel)] = held.get(id(consumer.channel), 0) + 1
                deliveries.setdefault(consumer.queue, []).append((number_in(record.body, consumer.queue), consumer))
        for queue_id, in_order in deliveries.items():
            rivals = [consumer for consumer in self.consumers.values() if consumer.queue == queue_id]
            if len({consumer.priority for consumer in rivals}) == 1:
                continue
            free = [
                rival for rival in rivals
                if rival.gateway not in self.congested
                and turn_bytes[rival.gateway] < TURN_BYTES
                and not rival.channel.connection.full_with(
                    connection_bytes.get((rival.gateway, rival.channel.connection.handle), 0))
                and (
                    rival.no_ack or rival.channel.limit is None
                    or rival.channel.held() + held.get(id(rival.channel), 0) < rival.channel.limit
                )
            ]
            given: dict[int, int] = {}
            for number, consumer in sorted(in_order, key=lambda delivery: delivery[0]):
                for rival in free:
                    full = (
                        not rival.no_ack and rival.prefetch != UNLIMITED
                        and rival.unacked + given.get(id(rival), 0) >= rival.prefetch
                    )
                    assert full or rival.priority <= consumer.priority, (
                        f"message {number} of queue {queue_id} passed by consumer {rival.gateway}/{rival.handle}")
                given[id(consumer)] = given.get(id(consumer), 0) + 1

    def _delivered_one(self, consumer: Consumer, message: Message, record: Any) -> None:
        channel = consumer.channel
        assert not channel.connection.full
        assert consumer.gateway not in self.congested
        assert record.redelivered == (message.deliveries > 0)
        assert record.delivery_count == min(message.deliveries, 254)
        channel.connection.delivered_bytes += record.record_bytes
        if consumer.no_ack:
            self.done.add((message.queue, message.number))
            return
        message.deliveries += 1
        channel.sequence += 1
        channel.unacked[channel.sequence] = (message, consumer)
        consumer.unacked += 1
        assert consumer.prefetch == UNLIMITED or consumer.unacked <= consumer.prefetch
        if channel.limit is not None:
            channel.credit_out -= 1
            assert channel.credit_out >= 0

    def got(self, channel: Channel, queue: Queue, record: Any, no_ack: bool) -> None:
        """basic.get: the first ready message."""
        number = min(queue.ready)
        message = queue.ready.pop(number)
        assert record.body == message.body
        assert record.message_count == len(queue.ready)
        assert record.redelivered == (message.deliveries > 0)
        if no_ack:
            self.done.add((message.queue, message.number))
            return
        message.deliveries += 1
        channel.sequence += 1
        channel.unacked[channel.sequence] = (message, None)

    def check_nothing_was_left(self) -> None:
        """Where a message is ready, no consumer could have taken it."""
        for consumer in self.consumers.values():
            if not self.queues[consumer.queue].ready:
                continue
            channel = consumer.channel
            blocked = (
                channel.connection.full
                or consumer.gateway in self.congested
                or (not consumer.no_ack and consumer.prefetch != UNLIMITED and consumer.unacked >= consumer.prefetch)
                or (not consumer.no_ack and channel.limit is not None and channel.held() >= channel.limit)
            )
            assert blocked, f"consumer {consumer.gateway}/{consumer.handle} was left out"

    def unacked_of(self, queue_id: int) -> int:
        held = (message for channel in self.channels.values() for message, _ in channel.unacked.values())
        return sum(message.queue == queue_id for message in held)

    def live(self) -> int:
        """Entries that the store must hold."""
        return sum(len(queue.ready) for queue in self.queues.values()) + sum(
            len(channel.unacked) for channel in self.channels.values()
        )
