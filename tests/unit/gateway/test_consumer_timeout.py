"""What clients hear when a shard has timed out their consumers."""
from typing import Any

from amqp091.method_table import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    ChannelClose,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.unit.gateway.bench import Bench, Client, Link, scenario, turn
from tests.unit.gateway.test_consuming import consuming
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import ACK, Settled, deliver, event, response

REFUSAL = ChannelClose(
    406,
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 5000 ms. This timeout "
    "value can be configured, see consumers doc guide to learn more",
    0, 0,
)


def timed_out(client: Client, link: Link, consumer: int | None) -> None:
    channel = client.connection.channel(1)
    assert channel is not None
    said: dict[str, Any] = {"event": "timed_out", "channel": channel.handle, "timeout": 5000}
    link.say(event(said if consumer is None else {**said, "consumer": consumer}))


@scenario
async def test_a_client_is_told_that_its_consumer_is_cancelled(bench: Bench) -> None:
    client, link, handle = await consuming(bench)
    link.say(deliver(handle, b"1"))
    timed_out(client, link, handle)
    await turn()
    [(_, delivered), cancelled] = [item for item in client.methods() if not isinstance(item[1], int)]
    assert isinstance(delivered, BasicDeliver) and cancelled == (1, BasicCancel("t", True))
    # its late word is taken, and the shard knows what to do with it: nothing
    client.raw(frames.ack(1, 1))
    await turn()
    assert client.methods() == []
    assert [record.outcome for record in link.records if isinstance(record, Settled)] == [ACK]
    assert await client.call(1, BasicConsume(queue="q", consumer_tag="t")) == [(1, BasicConsumeOk("t"))]


@scenario
async def test_a_client_that_cannot_be_told_loses_its_channel(bench: Bench) -> None:
    client, link, handle = await consuming(bench, properties={"capabilities": {}})
    timed_out(client, link, handle)
    await turn()
    assert client.methods() == [(1, REFUSAL)]
    assert len(link.asked("close_channel")) == 1


@scenario
async def test_what_was_got_costs_the_channel(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    timed_out(client, link, None)
    timed_out(client, link, None)
    await turn()
    assert client.methods() == [(1, REFUSAL)]


@scenario
async def test_a_consumer_that_was_cancelled_meanwhile_costs_nothing(bench: Bench) -> None:
    client, link, handle = await consuming(bench, properties={"capabilities": {}})
    assert await client.call(1, BasicCancel("t")) == [(1, BasicCancelOk("t"))]
    timed_out(client, link, handle)
    await turn()
    assert client.methods() == []


@scenario
async def test_the_answer_to_a_method_under_way_comes_first(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    del link.answers["count"]
    client.send(1, QueueDeclare(queue="q", passive=True))
    await turn()
    timed_out(client, link, None)
    await turn()
    assert client.methods() == []
    [asked] = link.asked("count")
    link.say(response(asked.request_id, {"message_count": 0, "consumer_count": 1}))
    await turn()
    assert client.methods() == [(1, QueueDeclareOk("q", 0, 1)), (1, REFUSAL)]


@scenario
async def test_a_connection_that_goes_meanwhile_is_left_alone(bench: Bench) -> None:
    client, link, _ = await consuming(bench)
    timed_out(client, link, None)
    client.connection.on_wire_lost()
    await turn()
    assert client.methods() == []
