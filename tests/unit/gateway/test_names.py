"""The classes exchange and queue: names, rights, equivalence, what goes to the catalog and to shards."""
from typing import Any

import pytest

from amqp091.method_table import (
    BasicGet,
    ChannelClose,
    ChannelOpen,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from bus.control import ControlError
from tests.unit.gateway.bench import Bench, Client, scenario
from topology import changes

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration.")


class Refused(Exception):
    """The channel was closed."""


async def ask(client: Client, method: tuple[object, ...]) -> object:
    """The one answer; after a refusal a new channel 1 is there."""
    answers = await client.call(1, method)
    if not answers:
        return None
    [(_, answer)] = answers
    if isinstance(answer, ChannelClose):
        client.connection.end_channel(client.connection.channel(1))     # type: ignore[arg-type]
        await client.call(1, ChannelOpen())
        raise Refused(f"{answer.reply_code} {answer.reply_text}")
    return answer


async def refused(client: Client, method: tuple[object, ...]) -> str:
    with pytest.raises(Refused) as refusal:
        await ask(client, method)
    return str(refusal.value)


@scenario
async def test_a_queue_without_a_name_gets_one_and_becomes_the_current_one(bench: Bench) -> None:
    client = await bench.opened()
    declared = await ask(client, QueueDeclare())
    assert isinstance(declared, QueueDeclareOk)
    assert declared.queue.startswith("amq.gen-") and len(declared.queue) == 30
    assert await ask(client, QueueBind(exchange="amq.direct")) == QueueBindOk()
    name = declared.queue
    assert bench.catalog.asked[-1] == ("queue.bind", {
        "vhost": "/", "queue": name, "exchange": "amq.direct", "routing_key": name, "arguments": {}})
    assert await ask(client, QueuePurge()) == QueuePurgeOk(0)
    assert await ask(client, QueueDelete()) == QueueDeleteOk(3)


@scenario
async def test_without_a_current_queue_an_empty_name_is_not_found(bench: Bench) -> None:
    client = await bench.opened()
    for method in (QueueBind(exchange="amq.direct"), QueuePurge(), QueueDelete(), BasicGet()):
        assert await refused(client, method) == "404 NOT_FOUND - no previously declared queue"


@scenario
async def test_line_ends_are_stripped_from_names(bench: Bench) -> None:
    client = await bench.opened()
    assert await ask(client, QueueDeclare(queue="a\r\nb")) == QueueDeclareOk("ab", 0, 0)


@scenario
async def test_reserved_names_are_not_for_clients(bench: Bench) -> None:
    client = await bench.opened()
    assert await refused(client, QueueDeclare(queue="amq.x")) == (
        "403 ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'")
    assert await refused(client, ExchangeDeclare(exchange="amq.x", type="direct")) == (
        "403 ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'")
    assert await ask(client, ExchangeDeclare(exchange="amq.topic", type="topic", durable=True)) == ExchangeDeclareOk()


@scenario
async def test_the_default_exchange_is_untouchable(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    text = "403 ACCESS_REFUSED - operation not permitted on the default exchange"
    for method in (
        ExchangeDeclare(type="direct"), ExchangeDeclare(passive=True), ExchangeDelete(), QueueBind(queue="q"),
        QueueUnbind(queue="q"), ExchangeBind(source="amq.direct"), ExchangeBind(destination="amq.direct"),
    ):
        assert await refused(client, method) == text


@scenario
async def test_predeclared_exchanges_stay(bench: Bench) -> None:
    client = await bench.opened()
    assert (await refused(client, ExchangeDelete(exchange="amq.direct"))).startswith("403")


@scenario
async def test_redeclaring_differently_is_inequivalent(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q", durable=False))
    assert await refused(client, QueueDeclare(queue="q", durable=True)) == (
        "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current "
        "is 'false'")
    await ask(client, ExchangeDeclare(exchange="x", type="direct"))
    assert await refused(client, ExchangeDeclare(exchange="x", type="fanout")) == (
        "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but "
        "current is 'direct'")


@scenario
async def test_redeclaring_alike_counts(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    for link in bench.links.values():
        link.answers["count"] = {"message_count": 7, "consumer_count": 2}
    assert await ask(client, QueueDeclare(queue="q")) == QueueDeclareOk("q", 7, 2)
    assert await ask(client, QueueDeclare(queue="q", passive=True)) == QueueDeclareOk("q", 7, 2)
    assert await ask(client, QueueDeclare(queue="q", passive=True, nowait=True)) is None


@scenario
async def test_an_exclusive_queue_is_locked_to_others(bench: Bench) -> None:
    client, other = await bench.opened(), await bench.opened()
    await ask(client, QueueDeclare(queue="mine", exclusive=True, durable=True))
    assert await ask(client, QueueDeclare(queue="mine", exclusive=True)) == QueueDeclareOk("mine", 0, 0)
    for method in (
        QueueDeclare(queue="mine", exclusive=True), QueueDeclare(queue="mine"),
        QueueDeclare(queue="mine", passive=True),
        QueueBind(queue="mine", exchange="amq.direct"), QueuePurge(queue="mine"), QueueDelete(queue="mine"),
        BasicGet(queue="mine"),
    ):
        assert await refused(other, method) == f"405 {LOCKED}"
    assert await refused(client, QueueDeclare(queue="mine")) == f"405 {LOCKED}"


@scenario
async def test_deleting_what_is_not_there_succeeds(bench: Bench) -> None:
    client = await bench.opened()
    assert await ask(client, QueueDelete(queue="none")) == QueueDeleteOk(0)
    assert await ask(client, ExchangeDelete(exchange="none")) == ExchangeDeleteOk()
    assert await ask(client, QueueUnbind(queue="none", exchange="none")) == QueueUnbindOk()
    assert await ask(client, ExchangeUnbind(destination="none", source="none")) == ExchangeUnbindOk()
    assert bench.catalog.asked == []


@scenario
async def test_binding_what_is_not_there_is_not_found(bench: Bench) -> None:
    client = await bench.opened()
    assert await refused(client, QueueBind(queue="q", exchange="amq.direct")) == (
        "404 NOT_FOUND - no queue 'q' in vhost '/'")
    assert await refused(client, QueueBind(queue="q", exchange="x")) == "404 NOT_FOUND - no exchange 'x' in vhost '/'"
    assert await refused(client, ExchangeBind(destination="y", source="amq.direct")) == (
        "404 NOT_FOUND - no exchange 'y' in vhost '/'")
    assert await ask(client, ExchangeBind(destination="amq.fanout", source="amq.direct")) == ExchangeBindOk()


@scenario
async def test_the_shard_has_what_was_published_before_a_delete(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    await ask(client, QueueDelete(queue="q", if_empty=True))
    (check,) = [one.document for link in bench.links.values() for one in link.asked("delete_check")]
    assert check["if_empty"] is True and check["if_unused"] is False
    assert bench.catalog.asked[-1][0] == "queue.delete" and bench.catalog.asked[-1][1]["message_count"] == 3


@scenario
async def test_a_refusal_of_the_catalog_is_passed_on(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    bench.catalog.refusals["queue.delete"] = ControlError(406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use")
    assert await refused(client, QueueDelete(queue="q", if_unused=True)) == (
        "406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use")


@scenario
async def test_nowait_is_silent(bench: Bench) -> None:
    client = await bench.opened()
    for method in (
        QueueDeclare(queue="q", nowait=True), ExchangeDeclare(exchange="x", type="fanout", nowait=True),
        QueueBind(queue="q", exchange="x", nowait=True), QueuePurge(queue="q", nowait=True),
        ExchangeBind(destination="x", source="amq.direct", nowait=True),
        ExchangeUnbind(destination="x", source="amq.direct", nowait=True),
        QueueDelete(queue="q", nowait=True), ExchangeDelete(exchange="x", nowait=True),
    ):
        assert await ask(client, method) is None


@scenario
async def test_each_operation_needs_its_right(bench: Bench) -> None:
    guest = await bench.opened()
    await ask(guest, QueueDeclare(queue="q"))
    client = await bench.opened(user="reader")
    for method, right, resource in (
        (QueueDeclare(queue="n"), "configure", "queue 'n'"), (QueueDeclare(queue="q"), "configure", "queue 'q'"),
        (QueueDelete(queue="q"), "configure", "queue 'q'"),
        (ExchangeDeclare(exchange="x", type="direct"), "configure", "exchange 'x'"),
        (ExchangeDelete(exchange="x"), "configure", "exchange 'x'"),
        (QueueBind(queue="q", exchange="amq.direct"), "write", "queue 'q'"),
        (QueueUnbind(queue="q", exchange="amq.direct"), "write", "queue 'q'"),
        (ExchangeBind(destination="amq.fanout", source="amq.direct"), "write", "exchange 'amq.fanout'"),
    ):
        assert await refused(client, method) == (
            f"403 ACCESS_REFUSED - {right} access to {resource} in vhost '/' refused for user 'reader'")
    assert await ask(client, QueuePurge(queue="q")) == QueuePurgeOk(0)
    assert await ask(client, QueueDeclare(queue="q", passive=True)) == QueueDeclareOk("q", 0, 0)


@scenario
async def test_a_dead_letter_or_alternate_exchange_needs_rights_of_its_own(bench: Bench) -> None:
    client = await bench.opened(user="reader")
    bench.replica.permitted = lambda user, vhost, kind, name: name != "dlx"     # type: ignore[method-assign, assignment]
    assert await refused(client, QueueDeclare(queue="n", arguments={"x-dead-letter-exchange": "dlx"})) == (
        "403 ACCESS_REFUSED - write access to exchange 'dlx' in vhost '/' refused for user 'reader'")
    alternate = {"alternate-exchange": "dlx"}
    assert await refused(client, ExchangeDeclare(exchange="n", type="direct", arguments=alternate)) == (
        "403 ACCESS_REFUSED - write access to exchange 'dlx' in vhost '/' refused for user 'reader'")


@scenario
async def test_an_invalid_argument_is_named(bench: Bench) -> None:
    client = await bench.opened()
    assert await refused(client, QueueDeclare(queue="q", arguments={"x-max-length": -1})) == (
        "406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}")


MISSING = "no queue 'q' in vhost '/'"


async def deletion_under_way(bench: Bench, *, recreated: bool) -> Client:
    """A client whose gateway has not heard yet that its queue is being deleted, while the queue's shard has."""
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    known = bench.replica.queue("/", "q")
    assert known is not None
    for link in bench.links.values():
        link.answers["count"] = {"error": [404, MISSING]}
    answers = bench.catalog.request

    async def request(verb: str, **fields: Any) -> dict[str, Any]:
        assert verb == "queue.declare"
        bench.catalog.apply(changes.queue_delete(known))
        answer = await answers(verb, **fields)
        if recreated:           # by somebody else: a queue with another id
            bench.links[answer["shard"]].answers["count"] = {"message_count": 2, "consumer_count": 1}
        return {**answer, "created": not recreated}

    bench.catalog.request = request     # type: ignore[method-assign]
    return client


@scenario
async def test_a_queue_that_is_being_deleted_is_declared_anew(bench: Bench) -> None:
    client = await deletion_under_way(bench, recreated=False)
    assert await ask(client, QueueDeclare(queue="q", durable=False)) == QueueDeclareOk("q", 0, 0)
    assert bench.replica.queue("/", "q") is not None


@scenario
async def test_a_queue_that_somebody_else_declares_anew_is_found(bench: Bench) -> None:
    client = await deletion_under_way(bench, recreated=True)
    assert await ask(client, QueueDeclare(queue="q")) == QueueDeclareOk("q", 2, 1)


@scenario
async def test_a_passive_declare_of_a_queue_that_is_being_deleted_is_not_found(bench: Bench) -> None:
    client = await deletion_under_way(bench, recreated=False)
    assert await refused(client, QueueDeclare(queue="q", passive=True)) == f"404 NOT_FOUND - {MISSING}"


@scenario
async def test_a_queue_that_its_shard_is_only_about_to_hear_of_is_counted_once_it_has(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    for link in bench.links.values():
        link.answers["count"] = {"error": [404, MISSING]}

    async def request(verb: str, **fields: Any) -> dict[str, Any]:
        for link in bench.links.values():
            link.answers["count"] = {"message_count": 2, "consumer_count": 1}
        return {"created": False}

    bench.catalog.request = request     # type: ignore[method-assign]
    assert await ask(client, QueueDeclare(queue="q")) == QueueDeclareOk("q", 2, 1)


@scenario
async def test_a_queue_that_its_shard_does_not_have_is_not_declared_for_ever(bench: Bench) -> None:
    client = await bench.opened()
    await ask(client, QueueDeclare(queue="q"))
    for link in bench.links.values():
        link.answers["count"] = {"error": [404, MISSING]}

    async def request(verb: str, **fields: Any) -> dict[str, Any]:
        return {"created": False}

    bench.catalog.request = request     # type: ignore[method-assign]
    assert await refused(client, QueueDeclare(queue="q")) == f"404 NOT_FOUND - {MISSING}"
