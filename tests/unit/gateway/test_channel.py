"""Opening, closing and refusing channels."""
from amqp091.method_table import (
    AccessRequest,
    AccessRequestOk,
    BasicConsume,
    BasicConsumeOk,
    BasicQos,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    QueueDeclare,
    TxCommit,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from amqp091.methods import encode
from tests.unit.gateway.bench import Bench, Client, scenario, turn
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import response


async def refusal(client: Client, channel: int, method: tuple[object, ...]) -> tuple[str, int, str, int, int]:
    """What closes after the method: name, code, text, class and method."""
    [(_, close)] = await client.call(channel, method)
    assert isinstance(close, ChannelClose | ConnectionClose)
    return (type(close).__name__, close.reply_code, close.reply_text, close.class_id, close.method_id)


@scenario
async def test_a_second_open_is_a_connection_error(bench: Bench) -> None:
    client = await bench.opened()
    assert await refusal(client, 1, ChannelOpen()) == (
        "ConnectionClose", 504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10)


@scenario
async def test_a_method_on_a_channel_that_is_not_open(bench: Bench) -> None:
    client = await bench.opened()
    assert await refusal(client, 2, QueueDeclare(queue="q")) == (
        "ConnectionClose", 504, "CHANNEL_ERROR - expected 'channel.open'", 50, 10)


@scenario
async def test_more_channels_than_agreed(bench: Bench) -> None:
    client = await bench.opened()
    client.connection.channel_max = 2
    assert await client.call(2, ChannelOpen()) == [(2, ChannelOpenOk())]
    assert (await refusal(client, 3, ChannelOpen()))[1:3] == (
        530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")


@scenario
async def test_an_error_closes_the_channel_and_drops_what_follows(bench: Bench) -> None:
    client = await bench.opened()
    client.send(1, QueueDeclare(queue="missing", passive=True), QueueDeclare(queue="other"))
    await turn()
    [(_, close)] = client.methods()
    assert close == ChannelClose(404, "NOT_FOUND - no queue 'missing' in vhost '/'", 50, 10)
    assert bench.replica.queue("/", "other") is None
    assert await client.call(1, ChannelCloseOk()) == []
    assert await client.call(1, ChannelOpen()) == [(1, ChannelOpenOk())]


@scenario
async def test_a_close_that_crosses_ours_is_answered(bench: Bench) -> None:
    client = await bench.opened()
    client.send(1, QueueDeclare(queue="missing", passive=True), ChannelClose(200, "bye"))
    await turn()
    assert [type(method) for _, method in client.methods()] == [ChannelClose, ChannelCloseOk]
    client.send(1, ChannelCloseOk())
    assert await client.call(1, ChannelOpen()) == [(1, ChannelOpenOk())]


@scenario
async def test_a_close_ok_that_comes_before_our_close_changes_nothing(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    client.send(1, BasicConsume(queue="nowhere"), ChannelCloseOk())
    client.send(1, ChannelCloseOk())
    await turn()
    assert [type(method) for _, method in client.methods()] == [ChannelClose]
    assert await client.call(1, ChannelCloseOk()) == []
    assert [type(method) for _, method in await client.call(1, ChannelOpen())] == [ChannelOpenOk]


@scenario
async def test_close_ok_waits_for_the_shards_of_the_channel(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    link = bench.links[bench.replica.queue("/", "q").shard]     # type: ignore[union-attr]
    del link.answers["close_channel"]
    assert await client.call(1, ChannelClose(200, "bye")) == []
    [asked] = link.asked("close_channel")
    link.say(response(asked.request_id, {}))
    await turn()
    assert client.methods() == [(1, ChannelCloseOk())]
    assert await client.call(1, ChannelOpen()) == [(1, ChannelOpenOk())]


@scenario
async def test_a_channel_without_shards_closes_at_once(bench: Bench) -> None:
    client = await bench.opened()
    client.send(1, ChannelClose(200, "bye"), ChannelOpen())
    assert client.methods() == [(1, ChannelCloseOk()), (1, ChannelOpenOk())]


@scenario
async def test_a_shard_that_is_down_does_not_hold_a_close_up(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    for link in bench.links.values():
        bench.gateway.on_link_down(link)    # type: ignore[arg-type]
    assert await client.call(1, ChannelClose(200, "bye")) == [(1, ChannelCloseOk())]


@scenario
async def test_a_method_of_the_server_is_unimplemented(bench: Bench) -> None:
    client = await bench.opened()
    assert (await refusal(client, 1, BasicConsumeOk("t")))[1:3] == (503, "COMMAND_INVALID - unimplemented method")


@scenario
async def test_an_unknown_method_is_invalid(bench: Bench) -> None:
    client = await bench.opened()
    client.raw(frames.method(1, 50, 99))
    await turn()
    assert client.methods()[0][1].reply_code == 503


@scenario
async def test_arguments_that_cannot_be_read_are_a_syntax_error(bench: Bench) -> None:
    client = await bench.opened()
    client.raw(frames.method(1, 50, 10, b"\0\0\x05q"))
    await turn()
    close = client.methods()[0][1]
    assert (close.reply_code, close.class_id, close.method_id) == (502, 50, 10)


@scenario
async def test_methods_stay_in_order_behind_one_that_waits(bench: Bench) -> None:
    client = await bench.opened()
    client.send(1, QueueDeclare(queue="a"), BasicQos(prefetch_count=5), ConfirmSelect())
    await turn()
    names = [type(method).__name__ for _, method in client.methods()]
    assert names == ["QueueDeclareOk", "BasicQosOk", "ConfirmSelectOk"]


@scenario
async def test_a_bug_in_a_handler_costs_that_connection_alone(bench: Bench) -> None:
    client, other = await bench.opened(), await bench.opened()

    async def broken(verb: str, **fields: object) -> dict[str, object]:
        raise RuntimeError("a bug")

    bench.gateway.catalog.request = broken      # type: ignore[method-assign]
    [(_, close)] = await client.call(1, QueueDeclare(queue="q"))
    assert isinstance(close, ConnectionClose) and close.reply_code == 541
    assert await other.call(1, AccessRequest()) == [(1, AccessRequestOk(1))]


@scenario
async def test_access_is_always_granted(bench: Bench) -> None:
    client = await bench.opened()
    assert await client.call(1, AccessRequest("/data")) == [(1, AccessRequestOk(1))]


@scenario
async def test_confirm_and_tx_exclude_each_other(bench: Bench) -> None:
    client = await bench.opened()
    assert await client.call(1, ConfirmSelect()) == [(1, ConfirmSelectOk())]
    assert await client.call(1, ConfirmSelect(nowait=True)) == []
    assert (await refusal(client, 1, TxSelect()))[1:] == (
        406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", 90, 10)
    await client.call(2, ChannelOpen())
    assert await client.call(2, TxSelect()) == [(2, TxSelectOk())]
    assert (await refusal(client, 2, ConfirmSelect()))[1:3] == (
        406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")


@scenario
async def test_commit_and_rollback_need_a_transaction(bench: Bench) -> None:
    client = await bench.opened()
    assert (await refusal(client, 1, TxCommit()))[1:3] == (406, "PRECONDITION_FAILED - channel is not transactional")
    await client.call(2, ChannelOpen())
    assert (await refusal(client, 2, TxRollback()))[1:3] == (406, "PRECONDITION_FAILED - channel is not transactional")
    await client.call(3, ChannelOpen())
    await client.call(3, TxSelect())
    assert await client.call(3, TxRollback()) == [(3, TxRollbackOk())]


@scenario
async def test_flow_off_stops_all_shards_before_flow_ok(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    assert await client.call(1, ChannelFlow(False)) == [(1, ChannelFlowOk(False))]
    link = bench.links[bench.replica.queue("/", "q").shard]     # type: ignore[union-attr]
    assert link.asked("qos")[-1].document["paused"] is True
    assert await client.call(1, ChannelFlow(True)) == [(1, ChannelFlowOk(True))]
    assert link.asked("qos")[-1].document["paused"] is False


@scenario
async def test_input_behind_a_waiting_method_is_kept_in_any_cut(bench: Bench) -> None:
    client = await bench.opened()
    for method in (QueueDeclare(queue="a"), QueueDeclare(queue="b"), QueueDeclare(queue="a", passive=True)):
        for octet in encode(1, method):
            client.raw(bytes([octet]))
    await turn()
    await turn()
    assert [method.queue for _, method in client.methods()] == ["a", "b", "a"]
