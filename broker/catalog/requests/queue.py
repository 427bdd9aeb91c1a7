"""queue.declare, queue.delete, queue.bind, queue.unbind, queue.unused, connection.closed."""
from __future__ import annotations

import asyncio
from typing import Final

from amqp091.errors import InternalError
from amqp091.tables import from_json
from broker.catalog.core import Catalog, Message
from broker.catalog.gateways import owner_is_gone
from broker.catalog.requests.binding import bind, unbind
from broker.catalog.requests.checks import existing_vhost
from bus.control import ControlClosed, ControlError, ControlTimeout
from topology import changes
from topology.arguments import with_default_type
from topology.equivalence import check_queue_declare, check_queue_equivalent
from topology.limits import check_queue_limit
from topology.model import QUEUE, UNKNOWN_ID, Binding, Queue
from topology.names import described

SHARD_PATIENCE_S: Final = 15.0      # how long a deletion waits for a shard that is being restarted
SHARD_RETRY_S: Final = 0.1
NOT_FOUND: Final = 404


async def declare(catalog: Catalog, message: Message) -> Message:
    vhost, name = existing_vhost(catalog, message), message["name"]
    durable, exclusive, auto_delete = message["durable"], message["exclusive"], message["auto_delete"]
    arguments = with_default_type(
        from_json(message["arguments"]), vhost.vhost.default_queue_type, durable=durable, exclusive=exclusive,
        auto_delete=auto_delete,
    )
    owner = message["owner"] if exclusive else None
    queue = vhost.queues.get(name)
    if queue is not None:
        check_queue_equivalent(
            queue, durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments, owner=owner
        )
        await catalog.settled()
        return {"queue_id": queue.queue_id, "shard": queue.shard, "created": False}
    check_queue_limit(vhost.vhost.name, vhost, name)
    # A reserved name is the gateway's to check: generated names have the prefix too.
    check_queue_declare(
        vhost.vhost.name, name, durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments
    )
    if owner is not None and owner_is_gone(catalog, owner):
        raise InternalError(f"the connection of {described(QUEUE, name, vhost.vhost.name)} is gone")
    decision = catalog.decide()
    queue, reservation = catalog.placed(
        Queue(UNKNOWN_ID, name, vhost.vhost.name, durable and not exclusive, auto_delete, exclusive, owner, arguments)
    )
    decision.store_only(reservation)
    decision.add(changes.queue_add(queue))
    await decision.settle()
    return {"queue_id": queue.queue_id, "shard": queue.shard, "created": True}


async def delete(catalog: Catalog, message: Message) -> Message:
    """By `name` in `vhost`, or by `queue_id`. A queue that is not there has no messages.

    `message_count` is there where the shard has been asked already whether it may be deleted.
    """
    queue = _named(catalog, message)
    if queue is None:
        await catalog.settled()
        return {"message_count": 0}
    message_count = message.get("message_count")
    if message_count is None:
        message_count = await _check_with_shard(
            catalog, queue, bool(message.get("if_unused")), bool(message.get("if_empty"))
        )
    await _delete(catalog, queue)
    return {"message_count": message_count}


def _named(catalog: Catalog, message: Message) -> Queue | None:
    queue_id = message.get("queue_id")
    if queue_id is not None:
        return catalog.topology.queue_by_id(queue_id)
    return existing_vhost(catalog, message).queues.get(message["name"])


async def _delete(catalog: Catalog, queue: Queue) -> None:
    if catalog.topology.queue_by_id(queue.queue_id) is None:      # another request was faster
        await catalog.settled()
        return
    decision = catalog.decide(frees=True)
    decision.delete_queue(queue)
    await decision.settle()


async def _check_with_shard(catalog: Catalog, queue: Queue, if_unused: bool, if_empty: bool) -> int:
    """The number of ready messages; 406 from the shard where a condition is not met."""
    question = {
        "verb": "queue.delete_check", "queue_id": queue.queue_id, "if_unused": if_unused, "if_empty": if_empty,
    }
    loop = asyncio.get_running_loop()
    patient_until_s = loop.time() + SHARD_PATIENCE_S
    while True:
        try:
            answer = await catalog.ask_shard(queue.shard, question)
            return int(answer["message_count"])
        except (ControlTimeout, ControlClosed):
            if loop.time() < patient_until_s:
                await asyncio.sleep(SHARD_RETRY_S)
                continue
            if if_unused or if_empty:
                raise InternalError(
                    f"the shard of {described(QUEUE, queue.name, queue.vhost)} does not answer"
                ) from None
            return 0
        except ControlError as error:
            if error.code == NOT_FOUND:
                return 0
            raise


async def unused(catalog: Catalog, message: Message) -> Message:
    """The end of a queue that is auto-delete and has lost its last consumer, or that has `expired`: its shard knows."""
    queue = catalog.topology.queue_by_id(message["queue_id"])
    if queue is None or not (queue.auto_delete or message.get("expired")):
        await catalog.settled()
        return {"deleted": False}
    await _delete(catalog, queue)
    return {"deleted": True}


async def connection_closed(catalog: Catalog, message: Message) -> Message:
    """A connection is over, and with it its exclusive queues. It counts no more."""
    catalog.usage.close(message["owner"])
    queues = catalog.topology.exclusive_queues(message["owner"])
    if queues:
        decision = catalog.decide(frees=True)
        for queue in queues:
            decision.delete_queue(queue)
        await decision.settle()
    return {"deleted": len(queues)}


def _binding(message: Message) -> Binding:
    return Binding(
        message["vhost"], message["exchange"], message["queue"], QUEUE, message["routing_key"],
        from_json(message["arguments"]),
    )


async def bind_queue(catalog: Catalog, message: Message) -> Message:
    return await bind(catalog, _binding(message))


async def unbind_queue(catalog: Catalog, message: Message) -> Message:
    return await unbind(catalog, _binding(message))
