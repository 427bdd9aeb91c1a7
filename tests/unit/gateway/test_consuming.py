"""consume, cancel, get, qos and recover, with shards that answer, refuse, die and come back."""
import struct

from amqp091.method_table import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    ChannelClose,
    ConnectionClose,
    QueueDeclare,
)
from tests.unit.gateway.bench import Bench, Client, Link, scenario, turn
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import REQUEUE, Document, Settled, deliver, event, get_ok, response


async def with_queue(bench: Bench, **options: object) -> tuple[Client, Link]:
    """A client, and the shard of the queue `q`."""
    client = await bench.opened(**options)      # type: ignore[arg-type]
    await client.call(1, QueueDeclare(queue="q"))
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    return client, bench.links[queue.shard]


async def consuming(bench: Bench, **options: object) -> tuple[Client, Link, int]:
    """The same with a consumer `t`, and its handle."""
    client, link = await with_queue(bench, **options)
    assert await client.call(1, BasicConsume(queue="q", consumer_tag="t")) == [(1, BasicConsumeOk("t"))]
    return client, link, link.asked("consume")[-1].document["consumer"]


@scenario
async def test_consume_tells_the_shard_everything(bench: Bench) -> None:
    client, link = await with_queue(bench)
    await client.call(1, BasicQos(prefetch_count=7))
    await client.call(1, BasicConsume(queue="q", no_ack=True, exclusive=True, arguments={"x-priority": 3}))
    document = link.asked("consume")[0].document
    assert document["tag"].startswith("amq.ctag-") and len(document["tag"]) == 31
    assert (document["no_ack"], document["exclusive"], document["prefetch"], document["arguments"]) == (
        True, True, 7, {"x-priority": 3})


@scenario
async def test_consume_ok_precedes_a_delivery_of_the_same_batch(bench: Bench) -> None:
    client, link = await with_queue(bench)
    del link.answers["consume"]
    client.send(1, BasicConsume(queue="q", consumer_tag="t"))
    await turn()
    [asked] = link.asked("consume")
    link.say(response(asked.request_id, {}) + deliver(asked.document["consumer"], b"x"))
    await turn()
    names = [type(method) for _, method in client.methods() if not isinstance(method, int)]
    assert names == [BasicConsumeOk, BasicDeliver]


@scenario
async def test_a_consumer_tag_is_used_once(bench: Bench) -> None:
    client, _, _ = await consuming(bench)
    [(_, close)] = await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    assert isinstance(close, ConnectionClose)
    assert (close.reply_code, close.reply_text) == (530, "NOT_ALLOWED - attempt to reuse consumer tag 't'")


@scenario
async def test_a_refused_consumer_frees_its_tag(bench: Bench) -> None:
    client, link = await with_queue(bench)
    link.answers["consume"] = {"error": [403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"]}
    assert await client.call(1, BasicConsume(queue="q", consumer_tag="t")) == [
        (1, ChannelClose(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", 60, 20))]
    assert client.connection.channel(1).consumers == {}     # type: ignore[union-attr]


@scenario
async def test_a_priority_that_is_no_number(bench: Bench) -> None:
    client, _ = await with_queue(bench)
    [(_, close)] = await client.call(1, BasicConsume(queue="q", arguments={"x-priority": "high"}))
    assert close.reply_text == (
        "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"")


@scenario
async def test_cancel_answers_when_the_shard_has(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    del link.answers["cancel"]
    assert await client.call(1, BasicCancel("t")) == []
    [asked] = link.asked("cancel")
    link.say(deliver(handle, b"late") + response(asked.request_id, {}))
    await turn()
    names = [type(method) for _, method in client.methods() if not isinstance(method, int)]
    assert names == [BasicDeliver, BasicCancelOk]


@scenario
async def test_cancelling_an_unknown_tag_succeeds(bench: Bench) -> None:
    client = await bench.opened()
    assert await client.call(1, BasicCancel("none")) == [(1, BasicCancelOk("none"))]
    assert await client.call(1, BasicCancel("none", True)) == []


@scenario
async def test_a_client_learns_that_its_queue_is_gone(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    link.say(event({"event": "cancelled", "consumer": handle}))
    await turn()
    assert client.methods() == [(1, BasicCancel("t", True))]
    assert await client.call(1, BasicConsume(queue="q", consumer_tag="t")) == [(1, BasicConsumeOk("t"))]


@scenario
async def test_an_old_client_does_not(bench: Bench) -> None:
    client, link, handle = await consuming(bench, properties={})
    link.say(event({"event": "cancelled", "consumer": handle}))
    await turn()
    assert client.methods() == []


@scenario
async def test_get_from_an_empty_queue(bench: Bench) -> None:
    client, _ = await with_queue(bench)
    assert await client.call(1, BasicGet(queue="q")) == [(1, BasicGetEmpty())]


@scenario
async def test_get(bench: Bench) -> None:
    client, link = await with_queue(bench)
    del link.answers["get"]
    client.send(1, BasicGet(queue="q"), BasicQos())
    await turn()
    [asked] = link.gets()
    link.say(get_ok(asked.request_id, b"x", message_count=4, routing_key=b"q"))
    await turn()
    assert client.methods() == [(1, BasicGetOk(1, False, "", "q", 4)), (1, 2), (1, 3), (1, BasicQosOk())]


@scenario
async def test_prefetch_size_is_not_implemented(bench: Bench) -> None:
    client = await bench.opened()
    [(_, close)] = await client.call(1, BasicQos(prefetch_size=1))
    assert (close.reply_code, close.reply_text) == (540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")


@scenario
async def test_qos_changes_living_consumers(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    assert await client.call(1, BasicQos(prefetch_count=3)) == [(1, BasicQosOk())]
    assert link.asked("qos")[0].document["consumer_prefetch"] == 3


@scenario
async def test_a_channel_wide_prefetch_is_shared_out(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    assert await client.call(1, BasicQos(prefetch_count=2, global_=True)) == [(1, BasicQosOk())]
    channel = link.asked("qos")[0].document["channel"]
    link.say(event({"event": "credit_wanted", "channel": channel, "count": 10}))
    await turn()
    assert link.events() == [{"event": "credit", "channel": channel, "count": 2}]
    link.say(deliver(handle, b"1") + deliver(handle, b"2"))
    await turn()
    assert len(link.events()) == 1
    client.raw(frames.ack(1, 1))
    await turn()
    assert link.events()[1:] == [{"event": "credit", "channel": channel, "count": 1}]


@scenario
async def test_a_consumer_on_a_new_shard_of_a_limited_channel_is_limited_first(bench: Bench) -> None:
    client, link = await with_queue(bench)
    await client.call(1, BasicQos(prefetch_count=2, global_=True))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    verbs = [record.document["verb"] for record in link.asked("qos") + link.asked("consume")]
    assert verbs == ["qos", "consume"]
    assert link.records.index(link.asked("qos")[0]) < link.records.index(link.asked("consume")[0])


@scenario
async def test_recover_requeues_at_the_shards_that_delivered(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    link.say(deliver(handle, b"1"))
    await turn()
    client.methods()
    assert await client.call(1, BasicRecover(True)) == [(1, BasicRecoverOk())]
    [settled] = [record for record in link.records if isinstance(record, Settled)]
    assert settled.outcome == REQUEUE
    assert await client.call(1, BasicRecoverAsync(True)) == []
    [(_, close)] = await client.call(1, BasicRecover(False))
    assert (close.reply_code, close.reply_text) == (540, "NOT_IMPLEMENTED - requeue=false")


@scenario
async def test_consumers_are_attached_again_when_their_shard_is_back(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    client.send(1, QueueDeclare(queue="q", passive=True))
    await turn()
    assert client.methods() == []
    link.records.clear()
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert [record.document["verb"] for record in link.records if isinstance(record, Document)] == ["consume", "count"]
    assert link.asked("consume")[0].document["consumer"] == handle
    assert len(client.methods()) == 1
    link.say(deliver(handle, b"again"))
    await turn()
    assert isinstance(client.methods()[0][1], BasicDeliver)


@scenario
async def test_a_consumer_that_cannot_be_attached_again_is_cancelled(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    link.answers["consume"] = {"error": [404, "NOT_FOUND - no queue 'q' in vhost '/'"]}
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert client.methods() == [(1, BasicCancel("t", True))]


@scenario
async def test_a_client_that_goes_while_its_shard_dies_twice_leaves_no_consumer_behind(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    del link.answers["consume"]
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert link.asked("consume")
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    client.connection.on_wire_lost()
    await turn()
    link.records.clear()
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert link.asked("consume") == [] and bench.gateway.requests.unanswered_count == 0


@scenario
async def test_a_consume_under_way_is_sent_again_once(bench: Bench) -> None:
    client, link = await with_queue(bench)
    del link.answers["consume"]
    client.send(1, BasicConsume(queue="q", consumer_tag="t"))
    await turn()
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    link.records.clear()
    link.answers["consume"] = {}
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert len(link.asked("consume")) == 1
    assert client.methods() == [(1, BasicConsumeOk("t"))]


@scenario
async def test_a_get_under_way_is_sent_again(bench: Bench) -> None:
    client, link = await with_queue(bench)
    del link.answers["get"]
    client.send(1, BasicGet(queue="q"))
    await turn()
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    link.records.clear()
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    [asked] = link.gets()
    link.say(get_ok(asked.request_id, b"x"))
    await turn()
    assert isinstance(client.methods()[0][1], BasicGetOk)


@scenario
async def test_a_shard_that_stays_away_is_not_waited_for_without_end(bench: Bench) -> None:
    client, link = await with_queue(bench)
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    client.send(1, QueueDeclare(queue="q", passive=True))
    await turn()
    now_s = bench.gateway.now_s()
    bench.gateway.requests.expire(now_s)
    bench.gateway.requests.expire(now_s + 61)
    await turn()
    [(_, close)] = client.methods()
    assert isinstance(close, ChannelClose) and close.reply_code == 404


@scenario
async def test_a_prefetch_counts_deliveries_of_two_shards(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, BasicQos(prefetch_count=3, global_=True))
    handles = {}
    for name in ("a", "b"):
        await client.call(1, QueueDeclare(queue=name))
        await client.call(1, BasicConsume(queue=name, consumer_tag=name))
        queue = bench.replica.queue("/", name)
        assert queue is not None
        handles[name] = (bench.links[queue.shard], bench.links[queue.shard].asked("consume")[-1].document)
    (one, document), (other, _) = handles["a"], handles["b"]
    assert one is not other
    channel = document["channel"]
    one.say(event({"event": "credit_wanted", "channel": channel, "count": 10}))
    other.say(event({"event": "credit_wanted", "channel": channel, "count": 10}))
    await turn()
    assert one.events() == [{"event": "credit", "channel": channel, "count": 3}]
    assert other.events() == [{"event": "credit", "channel": channel, "count": 0}]
    one.say(event({"event": "credit_returned", "channel": channel, "count": 2}))
    await turn()
    assert other.events()[1:] == [{"event": "credit", "channel": channel, "count": 2}]


@scenario
async def test_a_non_utf8_tag_and_key_survive(bench: Bench) -> None:
    client, _ = await with_queue(bench)
    arguments = b"\0\0" + frames.short(b"q") + frames.short(b"\xff\xfe") + b"\0" + struct.pack(">I", 0)
    client.raw(frames.method(1, 60, 20, arguments))
    await turn()
    [(_, consumed)] = client.methods()
    assert consumed.consumer_tag.encode("utf-8", "surrogateescape") == b"\xff\xfe"


