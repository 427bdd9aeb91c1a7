"""One channel of the raw client: short spellings of the usual methods, each waiting for its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.harness import wire
from tests.harness.methods import Basic, Channel, Confirm, Exchange, Properties, Queue, Tx
from tests.harness.wire import Message

if TYPE_CHECKING:
    from tests.harness.client import Client

PERSISTENT = 2


class ChannelClient:
    """One open channel."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number

    def send(self, *methods: Any) -> None:
        self.client.send(self.number, *methods)

    def call(self, method: Any, kind: Any) -> Any:
        return self.client.call(self.number, method, kind)

    def expect(self, kind: Any, timeout_s: float = 10.0) -> Any:
        return self.client.expect(kind, self.number, timeout_s)

    def expect_error(self, code: int, text: str | None = None) -> Any:
        """channel.close with this code must come next."""
        return self.client.expect_channel_error(self.number, code, text)

    def expect_nothing(self, *queues: str) -> None:
        """Nothing may be on its way to this channel.

        A passive declaration asks the queue's shard, so whatever the shard sent before comes first; a second one makes
        sure that a delivery started by an earlier method of this channel had its turn.
        """
        for queue in queues * 2:
            self.declare(queue, passive=True)
        self.call(Channel.Flow(active=True), Channel.FlowOk)

    def close(self) -> None:
        self.call(Channel.Close(reply_code=200, reply_text="", class_id=0, method_id=0), Channel.CloseOk)

    # -- exchanges --------------------------------------------------------------------------------------------------

    def declare_exchange(
        self, name: str, kind: str = "direct", *, arguments: dict[str, Any] | None = None, **flags: bool
    ) -> None:
        self.call(Exchange.Declare(exchange=name, exchange_type=kind, arguments=arguments, **flags), Exchange.DeclareOk)

    def delete_exchange(self, name: str, **flags: bool) -> None:
        self.call(Exchange.Delete(exchange=name, **flags), Exchange.DeleteOk)

    def bind_exchange(
        self, destination: str, source: str, key: str = "", arguments: dict[str, Any] | None = None
    ) -> None:
        self.call(
            Exchange.Bind(destination=destination, source=source, routing_key=key, arguments=arguments), Exchange.BindOk
        )

    def unbind_exchange(
        self, destination: str, source: str, key: str = "", arguments: dict[str, Any] | None = None
    ) -> None:
        self.call(
            Exchange.Unbind(destination=destination, source=source, routing_key=key, arguments=arguments),
            Exchange.UnbindOk,
        )

    # -- queues -----------------------------------------------------------------------------------------------------

    def declare(self, name: str = "", *, arguments: dict[str, Any] | None = None, **flags: bool) -> Any:
        return self.call(Queue.Declare(queue=name, arguments=arguments, **flags), Queue.DeclareOk)

    def exclusive_queue(self, name: str = "", **arguments: Any) -> str:
        """An exclusive queue; its name."""
        return str(self.declare(name, exclusive=True, arguments=arguments or None).queue)

    def bind(self, queue: str, exchange: str, key: str = "", arguments: dict[str, Any] | None = None) -> None:
        self.call(Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments=arguments), Queue.BindOk)

    def unbind(self, queue: str, exchange: str, key: str = "", arguments: dict[str, Any] | None = None) -> None:
        self.call(Queue.Unbind(queue=queue, exchange=exchange, routing_key=key, arguments=arguments), Queue.UnbindOk)

    def delete(self, queue: str, **flags: bool) -> int:
        return int(self.call(Queue.Delete(queue=queue, **flags), Queue.DeleteOk).message_count)

    def purge(self, queue: str) -> int:
        return int(self.call(Queue.Purge(queue=queue), Queue.PurgeOk).message_count)

    def count(self, queue: str) -> int:
        """Ready messages, by a passive declaration."""
        return int(self.declare(queue, passive=True).message_count)

    def wait_count(self, queue: str, expected: int, timeout_s: float = 10.0) -> None:
        """Until the queue has so many ready messages: RabbitMQ answers a declaration ahead of earlier publishes."""
        deadline_s = time.monotonic() + timeout_s
        while (count := self.count(queue)) != expected:
            assert time.monotonic() < deadline_s, f"{count} ready messages instead of {expected}"
            time.sleep(0.01)

    def consumers(self, queue: str) -> int:
        return int(self.declare(queue, passive=True).consumer_count)

    # -- publishing -------------------------------------------------------------------------------------------------

    def publish(
        self, exchange: str, routing_key: str, body: bytes = b"", properties: Any = None, **flags: bool
    ) -> None:
        self.client.send_bytes(
            wire.publish(
                self.number, exchange, routing_key, body, properties, frame_max=self.client.frame_max or 131072, **flags
            )
        )

    def publish_many(self, exchange: str, routing_key: str, bodies: list[bytes], properties: Any = None) -> None:
        """Many messages in one piece."""
        self.client.send_bytes(
            b"".join(wire.publish(self.number, exchange, routing_key, body, properties) for body in bodies)
        )

    def persistent(self, queue: str, bodies: list[bytes]) -> None:
        """Persistent messages by way of the default exchange."""
        self.publish_many("", queue, bodies, Properties(delivery_mode=PERSISTENT))

    def confirm(self) -> None:
        self.call(Confirm.Select(), Confirm.SelectOk)

    def wait_confirms(self, last: int, first: int = 1, timeout_s: float = 10.0) -> set[int]:
        """Wait until publishes first..last are answered; the numbers that were nacked."""
        waiting, nacked = set(range(first, last + 1)), set()
        while waiting:
            answer = self.expect((Basic.Ack, Basic.Nack), timeout_s)
            tag = answer.delivery_tag
            answered = {n for n in waiting if n <= tag} if answer.multiple else {tag} & waiting
            assert answered, f"{answer!r} answers nothing that waits"
            waiting -= answered
            if isinstance(answer, Basic.Nack):
                nacked |= answered
        return nacked

    # -- consuming --------------------------------------------------------------------------------------------------

    def qos(self, prefetch_count: int, global_: bool = False, prefetch_size: int = 0) -> None:
        self.call(Basic.Qos(prefetch_count=prefetch_count, prefetch_size=prefetch_size, global_=global_), Basic.QosOk)

    def consume(self, queue: str, tag: str = "", *, arguments: dict[str, Any] | None = None, **flags: bool) -> str:
        return str(
            self.call(
                Basic.Consume(queue=queue, consumer_tag=tag, arguments=arguments, **flags), Basic.ConsumeOk
            ).consumer_tag
        )

    def consume_quietly(self, queue: str, tag: str) -> None:
        """Consume without an answer, for channels on which deliveries are under way."""
        self.send(Basic.Consume(queue=queue, consumer_tag=tag, nowait=True))

    def cancel(self, tag: str) -> list[Message]:
        """Cancel a consumer; what was delivered before cancel-ok."""
        self.send(Basic.Cancel(consumer_tag=tag))
        delivered = []
        while True:
            arrival = self.client.next_on(self.number)
            if arrival.message is not None:
                delivered.append(arrival.message)
                continue
            assert isinstance(arrival.method, Basic.CancelOk), arrival
            return delivered

    def delivery(self, timeout_s: float = 10.0) -> Message:
        arrival = self.client.next_on(self.number, timeout_s)
        if not isinstance(arrival.method, Basic.Deliver):
            raise AssertionError(f"expected a delivery, got {arrival.method!r}")
        assert arrival.message is not None
        return arrival.message

    def deliveries(self, count: int, timeout_s: float = 10.0) -> list[Message]:
        return [self.delivery(timeout_s) for _ in range(count)]

    def bodies(self, count: int) -> list[bytes]:
        return [message.body for message in self.deliveries(count)]

    def returned(self, timeout_s: float = 10.0) -> Message:
        arrival = self.client.next_on(self.number, timeout_s)
        if not isinstance(arrival.method, Basic.Return):
            raise AssertionError(f"expected basic.return, got {arrival.method!r}")
        assert arrival.message is not None
        return arrival.message

    def get(self, queue: str, no_ack: bool = False) -> Message | None:
        self.send(Basic.Get(queue=queue, no_ack=no_ack))
        arrival = self.client.next_on(self.number)
        if isinstance(arrival.method, Basic.GetEmpty):
            return None
        if getattr(arrival.method, "index", 0) != Basic.GetOk.index:
            raise AssertionError(f"expected get-ok or get-empty, got {arrival.method!r}")
        return arrival.message

    def get_all(self, queue: str) -> list[bytes]:
        """Take everything that is ready, without acknowledgement."""
        taken = []
        while (message := self.get(queue, no_ack=True)) is not None:
            taken.append(message.body)
        return taken

    def ack(self, delivery_tag: int, multiple: bool = False) -> None:
        self.send(Basic.Ack(delivery_tag=delivery_tag, multiple=multiple))

    def nack(self, delivery_tag: int, multiple: bool = False, requeue: bool = True) -> None:
        self.send(Basic.Nack(delivery_tag=delivery_tag, multiple=multiple, requeue=requeue))

    def reject(self, delivery_tag: int, requeue: bool = True) -> None:
        self.send(Basic.Reject(delivery_tag=delivery_tag, requeue=requeue))

    def recover(self, requeue: bool = True) -> None:
        self.call(Basic.Recover(requeue=requeue), Basic.RecoverOk)

    # -- transactions -----------------------------------------------------------------------------------------------

    def tx_select(self) -> None:
        self.call(Tx.Select(), Tx.SelectOk)

    def tx_commit(self) -> None:
        self.call(Tx.Commit(), Tx.CommitOk)

    def tx_rollback(self) -> None:
        self.call(Tx.Rollback(), Tx.RollbackOk)
