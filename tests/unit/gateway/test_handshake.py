"""From the protocol header to connection.open-ok, and every way in which it fails."""
import asyncio

import pytest

from amqp091 import constants
from amqp091.constants import PROTOCOL_HEADER
from amqp091.errors import ChannelErrorHard, LoginRefused, NotAllowed
from amqp091.method_table import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    QueueDeclare,
)
from gateway.handshake import Farewell, State, Tuning, farewell, negotiate, next_state
from tests.unit.gateway.bench import CAPABILITIES, REMOTE, Bench, scenario, turn


def test_a_method_out_of_turn_is_a_channel_error() -> None:
    with pytest.raises(ChannelErrorHard, match="unexpected method in connection state starting"):
        next_state(State.STARTING, constants.CONNECTION_OPEN)


def test_methods_after_the_end_are_dropped_but_close_is_not() -> None:
    assert next_state(State.CLOSED, constants.CONNECTION_OPEN) is None
    assert next_state(State.CLOSED, constants.CONNECTION_CLOSE) is State.CLOSED
    assert next_state(State.CLOSED, constants.CONNECTION_CLOSE_OK) is State.ENDED


OFFER = Tuning(2047, 131072, 60)


@pytest.mark.parametrize("answer, text", [
    (Tuning(2047, 131073, 0), "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"),
    (Tuning(2047, 4095, 0), "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"),
    (Tuning(2048, 4096, 0), "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"),
    (Tuning(0, 4096, 0), "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
])
def test_limits_outside_the_offer_are_not_allowed(answer: Tuning, text: str) -> None:
    with pytest.raises(NotAllowed) as refusal:
        negotiate(OFFER, answer)
    assert refusal.value.text == text


def test_the_client_chooses_the_heartbeat() -> None:
    assert negotiate(OFFER, Tuning(1, 4096, 600)).heartbeat_s == 600


def test_only_clients_that_can_take_it_are_told_of_a_refused_login() -> None:
    assert farewell(State.STARTING, LoginRefused("no"), True) is Farewell.CLOSE
    assert farewell(State.STARTING, LoginRefused("no"), False) is Farewell.SILENT


@scenario
async def test_the_whole_handshake(bench: Bench) -> None:
    client = bench.client()
    client.raw(PROTOCOL_HEADER)
    [(_, start)] = client.methods()
    assert isinstance(start, ConnectionStart) and start.mechanisms == b"PLAIN AMQPLAIN"
    assert len(start.server_properties["capabilities"]) == 9
    client.send(0, ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0guest", "en_US"))
    assert client.methods() == [(0, ConnectionTune(2047, 131072, 60))]
    client.send(0, ConnectionTuneOk(2047, 131072, 60), ConnectionOpen("/"))
    assert client.methods() == [(0, ConnectionOpenOk())]
    assert client.connection.shown_state == "running"


@scenario
async def test_a_foreign_header_gets_ours_and_the_end(bench: Bench) -> None:
    client = bench.client()
    client.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert client.methods() == [(0, PROTOCOL_HEADER)] and client.wire.finished


@scenario
async def test_a_wrong_password_is_told_without_detail(bench: Bench) -> None:
    client = bench.client()
    client.log_in("guest", "wrong")
    await turn()
    _, close = client.methods()[-1]
    assert close.reply_code == 403
    assert close.reply_text == (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.")
    client.send(0, ConnectionCloseOk())
    assert client.wire.finished


@scenario
async def test_a_wrong_password_of_an_old_client_ends_in_silence_and_late(bench: Bench) -> None:
    client = bench.client()
    client.log_in("guest", "wrong", properties={})
    await turn()
    assert [type(method) for _, method in client.methods()] == [ConnectionStart]
    assert not client.wire.aborted
    bench.pass_time(2.5)
    assert not client.wire.aborted
    bench.pass_time(3.6)
    assert client.wire.aborted


@scenario
async def test_guest_comes_from_this_host_alone(bench: Bench) -> None:
    client = bench.client(REMOTE)
    client.log_in()
    await turn()
    assert client.methods()[-1][1].reply_code == 403


@scenario
async def test_an_unknown_mechanism_is_a_command_error(bench: Bench) -> None:
    client = bench.client()
    client.log_in(mechanism="SCRAM")
    await turn()
    assert client.methods()[-1][1].reply_text == "COMMAND_INVALID - unknown authentication mechanism 'SCRAM'"


@pytest.mark.parametrize("user, vhost, text", [
    ("guest", "nowhere", "NOT_ALLOWED - vhost nowhere not found"),
    ("stranger", "/", "NOT_ALLOWED - access to vhost '/' refused for user 'stranger'"),
])
def test_a_vhost_that_is_not_there_or_not_for_this_user(user: str, vhost: str, text: str) -> None:
    @scenario
    async def run(bench: Bench) -> None:
        client = bench.client()
        client.log_in(user)
        client.send(0, ConnectionTuneOk(2047, 131072, 0), ConnectionOpen(vhost))
        await turn()
        _, close = client.methods()[-1]
        assert (close.reply_code, close.reply_text, close.class_id, close.method_id) == (530, text, 10, 40)

    run()


@scenario
async def test_whoever_stalls_is_let_go(bench: Bench) -> None:
    client = bench.client()
    client.raw(PROTOCOL_HEADER)
    bench.pass_time(9.5)
    assert not client.wire.aborted
    bench.pass_time(10.5)
    assert client.wire.aborted


@scenario
async def test_an_open_connection_is_not_stalled(bench: Bench) -> None:
    client = await bench.opened()
    bench.pass_time(11)
    assert not client.wire.aborted


@scenario
async def test_frames_of_a_channel_before_open_are_unexpected(bench: Bench) -> None:
    client = bench.client()
    client.log_in()
    client.send(0, ConnectionTuneOk(2047, 131072, 0))
    client.send(1, QueueDeclare(queue="q"))
    await turn()
    assert client.methods()[-1][1].reply_code == 505


@scenario
async def test_close_is_answered_when_everything_is_given_up(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="mine", exclusive=True))
    bench.catalog.gate = gate = asyncio.Event()
    assert await client.call(0, ConnectionClose(200, "bye")) == []
    gate.set()
    await turn()
    assert client.methods() == [(0, ConnectionCloseOk())]
    assert bench.replica.queue("/", "mine") is None
    assert client.wire.finished


@scenario
async def test_a_lost_connection_gives_up_its_exclusive_queues(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="mine", exclusive=True))
    client.connection.on_wire_lost()
    await turn()
    assert bench.replica.queue("/", "mine") is None
    assert client.connection.closed and not bench.gateway.connections


@scenario
async def test_our_close_crossing_theirs_is_answered_behind_ours(bench: Bench) -> None:
    client = await bench.opened()
    client.connection.close_forced("because")
    client.send(0, ConnectionClose(200, "bye"))
    await turn()
    assert client.methods() == [
        (0, ConnectionClose(320, "CONNECTION_FORCED - because")), (0, ConnectionCloseOk())]
    client.send(0, ConnectionCloseOk())
    assert client.wire.finished


@scenario
async def test_a_client_that_never_answers_our_close_is_cut_off(bench: Bench) -> None:
    client = await bench.opened()
    client.connection.close_forced("because")
    await turn()
    bench.pass_time(31)
    assert client.wire.aborted
