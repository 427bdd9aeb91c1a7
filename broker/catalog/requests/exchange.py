"""exchange.declare, exchange.delete, exchange.bind, exchange.unbind."""
from __future__ import annotations

from amqp091.refusals import in_use
from amqp091.tables import from_json
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.binding import bind, unbind
from broker.catalog.requests.checks import existing_vhost
from topology import changes
from topology.equivalence import check_exchange_declare, check_exchange_equivalent
from topology.model import EXCHANGE, Binding, Exchange
from topology.names import check_exchange_deletable


async def declare(catalog: Catalog, message: Message) -> Message:
    vhost, name = existing_vhost(catalog, message), message["name"]
    arguments = from_json(message["arguments"])
    exchange = vhost.exchanges.get(name)
    if exchange is not None:
        check_exchange_equivalent(
            exchange, message["type"], durable=message["durable"], auto_delete=message["auto_delete"],
            internal=message["internal"], arguments=arguments,
        )
        await catalog.settled()
        return {"created": False}
    check_exchange_declare(vhost.vhost.name, name, message["type"], arguments)
    decision = catalog.decide()
    decision.add(changes.exchange_add(Exchange(
        vhost.vhost.name, name, message["type"], message["durable"], message["auto_delete"], message["internal"],
        arguments,
    )))
    await decision.settle()
    return {"created": True}


async def delete(catalog: Catalog, message: Message) -> Message:
    vhost, name = existing_vhost(catalog, message), message["name"]
    check_exchange_deletable(name, vhost.vhost.name)
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        await catalog.settled()
        return {"deleted": False}
    if message.get("if_unused") and vhost.bindings.count_from(name):
        raise in_use(EXCHANGE, name, vhost.vhost.name)
    decision = catalog.decide(frees=True)
    decision.delete_exchange(exchange)
    await decision.settle()
    return {"deleted": True}


def _binding(message: Message) -> Binding:
    return Binding(
        message["vhost"], message["source"], message["destination"], EXCHANGE, message["routing_key"],
        from_json(message["arguments"]),
    )


async def bind_exchange(catalog: Catalog, message: Message) -> Message:
    return await bind(catalog, _binding(message))


async def unbind_exchange(catalog: Catalog, message: Message) -> Message:
    return await unbind(catalog, _binding(message))
