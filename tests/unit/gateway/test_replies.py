"""Direct reply-to as a gateway sees it: the names of reply queues, and the consumer of replies over its life."""
import pytest

from amqp091.method_table import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    QueueDeclare,
    QueueDeclareOk,
)
from gateway.replies import PREFIX, ReplyNames, ReplyPlace
from tests.unit.gateway.bench import Bench, Client, Link, scenario, turn
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import Published, event
from topology.names import REPLY_QUEUE

QUEUE_ID = (1 << 31) + 7
ASKS = frames.properties(reply_to=REPLY_QUEUE.encode())


@pytest.mark.parametrize("place", [ReplyPlace(0, 1 << 31), ReplyPlace(0xFFF, 0xFFFF_FFFF), ReplyPlace(3, QUEUE_ID)])
def test_a_name_leads_back_to_its_place(place: ReplyPlace) -> None:
    names = ReplyNames(b"key")
    name = names.name(place)
    assert names.place(name) == place
    assert name.startswith(PREFIX) and len(name) == 52 and name.isascii()


def test_a_name_that_was_not_made_here_leads_nowhere() -> None:
    names = ReplyNames(b"key")
    name = names.name(ReplyPlace(1, QUEUE_ID))
    assert ReplyNames(b"another run").place(name) is None
    for at in range(len(PREFIX), len(name)):
        assert names.place(name[:at] + ("A" if name[at] != "A" else "B") + name[at + 1 :]) is None
    wrong = ["", REPLY_QUEUE, PREFIX, PREFIX + "x", name + "=", name + "A", name[:-1], PREFIX + "\u00e9" * 30,
             PREFIX + "\udcff" * 30, PREFIX + "." * 30, "q", name.removeprefix("amq.")]
    assert [names.place(text) for text in wrong] == [None] * len(wrong)


async def consuming(bench: Bench, **options: object) -> tuple[Client, Link]:
    """A client that consumes its replies as `t`, and the link to the shard of its reply queue."""
    client = await bench.opened(**options)      # type: ignore[arg-type]
    assert await client.call(1, BasicConsume(queue=REPLY_QUEUE, consumer_tag="t", no_ack=True)) == [
        (1, BasicConsumeOk("t"))]
    [link] = [link for link in bench.links.values() if link.asked("reply_queue.open")]
    return client, link


def name_of(bench: Bench, link: Link, queue_id: int = QUEUE_ID) -> bytes:
    return bench.gateway.reply_names.name(ReplyPlace(link.peer, queue_id)).encode()


def published(bench: Bench) -> list[tuple[int, Published]]:
    return [(link.peer, record) for link in bench.links.values() for record in link.records
            if isinstance(record, Published)]


@scenario
async def test_the_reply_to_names_the_queue_that_the_shard_opened(bench: Bench) -> None:
    client, link = await consuming(bench)
    [opened] = link.asked("reply_queue.open")
    assert opened.document["queue_id"] is None
    await client.call(1, QueueDeclare(queue="q"))
    client.raw(frames.publish(1, b"request", ASKS))
    await turn()
    [(_, request)] = published(bench)
    assert request.properties == frames.properties(reply_to=name_of(bench, link))


@scenario
async def test_a_reply_goes_to_the_queue_that_its_name_says(bench: Bench) -> None:
    client, link = await consuming(bench)
    forged = REPLY_QUEUE.encode() + b".AAAA"
    for key in (name_of(bench, link), forged, REPLY_QUEUE.encode()):
        client.raw(frames.publish(1, key, routing_key=key))
    client.raw(frames.publish(1, b"x", exchange=b"amq.direct", routing_key=name_of(bench, link)))
    await turn()
    [(shard, reply)] = published(bench)
    assert (shard, reply.queues, reply.body) == (link.peer, (QUEUE_ID,), name_of(bench, link))


@scenario
async def test_who_may_not_write_to_the_default_exchange_may_not_reply(bench: Bench) -> None:
    client, link = await consuming(bench, user="reader")
    client.raw(frames.publish(1, b"x", routing_key=name_of(bench, link)))
    await turn()
    [(_, close)] = client.methods()
    assert isinstance(close, ChannelClose) and close.reply_code == 403


@scenario
async def test_refusals_of_the_consumer(bench: Bench) -> None:
    client, _ = await consuming(bench)
    cannot = (1, ChannelClose(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge", 60, 20))
    already = (1, ChannelClose(406, "PRECONDITION_FAILED - reply consumer already set", 60, 20))
    assert await client.call(1, BasicConsume(queue=REPLY_QUEUE, consumer_tag="t", no_ack=True)) == [already]
    client = await bench.opened()
    assert await client.call(1, BasicConsume(queue=REPLY_QUEUE)) == [cannot]
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    [(_, close)] = await client.call(1, BasicConsume(queue=REPLY_QUEUE, consumer_tag="t", no_ack=True))
    assert isinstance(close, ConnectionClose) and close.reply_code == 530


@scenario
async def test_each_channel_has_its_own(bench: Bench) -> None:
    client, _ = await consuming(bench)
    client.send(2, ChannelOpen())
    await turn()
    client.methods()
    assert await client.call(2, BasicConsume(queue=REPLY_QUEUE, consumer_tag="t", no_ack=True)) == [
        (2, BasicConsumeOk("t"))]


@scenario
async def test_after_cancel_the_channel_has_no_reply_to_until_it_consumes_again(bench: Bench) -> None:
    client, link = await consuming(bench)
    assert await client.call(1, BasicCancel("t")) == [(1, BasicCancelOk("t"))]
    assert len(link.asked("cancel")) == 1
    link.answers["reply_queue.open"] = {"queue_id": QUEUE_ID + 1}
    await client.call(1, BasicConsume(queue=REPLY_QUEUE, consumer_tag="again", no_ack=True))
    assert client.connection.channel(1).reply_to == name_of(bench, link, QUEUE_ID + 1)  # type: ignore[union-attr]
    await client.call(1, BasicCancel("again"))
    client.raw(frames.publish(1, b"", ASKS))
    await turn()
    assert client.methods() == [
        (1, ChannelClose(406, "PRECONDITION_FAILED - fast reply consumer does not exist", 60, 40))]


@scenario
async def test_a_restarted_shard_opens_the_same_queue_again(bench: Bench) -> None:
    client, link = await consuming(bench)
    before = name_of(bench, link)
    bench.gateway.on_link_down(link)    # type: ignore[arg-type]
    link.next_batch_number = 1
    link.answers["reply_queue.open"] = {"queue_id": QUEUE_ID}
    bench.gateway.on_link_up(link)      # type: ignore[arg-type]
    await turn()
    first, again = link.asked("reply_queue.open")
    assert again.document == first.document | {"queue_id": QUEUE_ID}
    channel = client.connection.channel(1)
    assert channel is not None and channel.reply_to == before and channel.consumers["t"].attached


@scenario
async def test_a_queue_that_cannot_be_opened_again_ends_the_consumer(bench: Bench) -> None:
    client, link = await consuming(bench)
    bench.gateway.on_link_down(link)    # type: ignore[arg-type]
    link.next_batch_number = 1
    link.answers["reply_queue.open"] = {"error": [405, "the reply queue is another consumer's"]}
    bench.gateway.on_link_up(link)      # type: ignore[arg-type]
    await turn()
    assert client.methods() == [(1, BasicCancel("t", True))]
    channel = client.connection.channel(1)
    assert channel is not None and channel.reply_to is None and channel.reply_consumer is None


@scenario
async def test_the_queue_is_asked_for_again_where_its_shard_died_before_the_answer(bench: Bench) -> None:
    client = await bench.opened()
    for link in bench.links.values():
        del link.answers["reply_queue.open"]
    assert await client.call(1, BasicConsume(queue=REPLY_QUEUE, consumer_tag="t", no_ack=True)) == []
    [link] = [link for link in bench.links.values() if link.asked("reply_queue.open")]
    bench.gateway.on_link_down(link)    # type: ignore[arg-type]
    link.next_batch_number = 1
    link.answers["reply_queue.open"] = {"queue_id": QUEUE_ID}
    bench.gateway.on_link_up(link)      # type: ignore[arg-type]
    await turn()
    assert client.methods() == [(1, BasicConsumeOk("t"))]
    assert [request.document["queue_id"] for request in link.asked("reply_queue.open")] == [None, None]


@scenario
async def test_declaring_a_reply_queue_tells_whether_it_is_there(bench: Bench) -> None:
    _, link = await consuming(bench)
    asker = await bench.opened(user="reader")
    name = name_of(bench, link).decode()
    for passive in (True, False):
        assert await asker.call(1, QueueDeclare(queue=name, passive=passive, durable=True)) == [
            (1, QueueDeclareOk(name, 0, 1))]
        assert await asker.call(1, QueueDeclare(queue=REPLY_QUEUE, passive=passive)) == [
            (1, QueueDeclareOk(REPLY_QUEUE, 0, 1))]
    link.answers["count"] = {"error": [404, f"no queue '{QUEUE_ID}' in vhost '?'"]}
    [(_, close)] = await asker.call(1, QueueDeclare(queue=name, passive=True))
    assert close == ChannelClose(404, f"NOT_FOUND - no queue '{name}' in vhost '/'", 50, 10)


@scenario
async def test_names_that_only_look_like_one_are_not_found(bench: Bench) -> None:
    for name in (PREFIX, PREFIX + "forged", REPLY_QUEUE + "x"):
        client = await bench.opened()
        [(_, close)] = await client.call(1, QueueDeclare(queue=name))
        assert close == ChannelClose(404, f"NOT_FOUND - no queue '{name}' in vhost '/'", 50, 10)


@scenario
async def test_the_shard_ends_the_consumer(bench: Bench) -> None:
    client, link = await consuming(bench)
    link.say(event({"event": "cancelled", "consumer": link.asked("reply_queue.open")[0].document["consumer"]}))
    await turn()
    assert client.methods() == [(1, BasicCancel("t", True))]
    channel = client.connection.channel(1)
    assert channel is not None and channel.reply_to is None
