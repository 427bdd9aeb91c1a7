"""Connection class: protocol header, start, tune, open, close."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.harness import wire
from tests.harness.accounts import NO_RIGHTS, OTHER_VHOST, PLAIN_USER, UNICODE_USER
from tests.harness.client import CAPABILITIES, Client, Closed, Endpoint, connect
from tests.harness.methods import Basic, Channel, Connection, Queue

RawClient = Callable[[], Client]
OpenClient = Callable[..., Client]

HANDSHAKE_TIMEOUT_S = 10.0
CAPABILITIES_ANNOUNCED = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def test_start_announces_version_mechanisms_and_locale(raw_client: RawClient) -> None:
    start = raw_client().start()
    assert (start.version_major, start.version_minor) == (0, 9)
    assert {"PLAIN", "AMQPLAIN"} <= set(start.mechanisms.split(" "))
    assert start.locales == "en_US"


def test_server_properties_announce_the_capabilities_that_clients_switch_on(raw_client: RawClient) -> None:
    properties = raw_client().start().server_properties
    assert properties["capabilities"] == dict.fromkeys(CAPABILITIES_ANNOUNCED, True)
    for name in ("cluster_name", "copyright", "information", "platform", "product", "version"):
        assert isinstance(properties[name], str) and properties[name], name


@pytest.mark.parametrize("header", [b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\x00\x09"], ids=["0-9-1", "1.1.0-9"])
def test_headers_of_amqp_0_9_are_accepted(raw_client: RawClient, header: bytes) -> None:
    client = raw_client()
    client.send_bytes(header)
    client.expect(Connection.Start)


@pytest.mark.parametrize(
    "sent",
    [
        b"AMQP\0\x01\0\0",
        b"AMQP\x03\x01\0\0",
        b"AMQP\0\0\x09\x02",
        b"AMQP\x02\x01\0\0",
        b"amqp\0\0\x09\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\0" * 8,
        b"\xff" * 64,
    ],
    ids=["1.0", "1.0-sasl", "0-9-2", "tls", "lower-case", "http", "tls-hello", "zeros", "ones"],
)
def test_any_other_header_is_answered_with_ours_and_the_end(
    raw_client: RawClient, bystander: object, sent: bytes
) -> None:
    client = raw_client()
    client.send_bytes(sent)
    assert client.receive_raw(8) == wire.PROTOCOL_HEADER
    client.expect_end()


@pytest.mark.parametrize("sent", [b"", b"A", b"AMQP\0\0\x09"])
def test_a_client_that_leaves_early_costs_nobody_anything(
    raw_client: RawClient, bystander: object, sent: bytes
) -> None:
    client = raw_client()
    client.send_bytes(sent)
    client.socket.shutdown(socket.SHUT_WR)
    client.expect_end(HANDSHAKE_TIMEOUT_S + 5)


def test_plain_login(open_client: OpenClient) -> None:
    open_client(user=PLAIN_USER.name, password=PLAIN_USER.password).channel()


def test_names_and_passwords_may_be_unicode(open_client: OpenClient) -> None:
    open_client(user=UNICODE_USER.name, password=UNICODE_USER.password).channel()


def test_amqplain_login(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    entries = wire.field_entry("LOGIN", b"S", b"\0\0\0\x05guest") + wire.field_entry(
        "PASSWORD", b"S", b"\0\0\0\x05guest"
    )
    client.start_ok(mechanism="AMQPLAIN", response=entries.decode())
    client.expect(Connection.Tune)


def test_amqplain_with_a_wrong_password_is_refused(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    entries = wire.field_entry("LOGIN", b"S", b"\0\0\0\x05guest") + wire.field_entry(
        "PASSWORD", b"S", b"\0\0\0\x05wrong"
    )
    client.start_ok(mechanism="AMQPLAIN", response=entries.decode())
    client.expect_connection_error(403, "ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN.")


@pytest.mark.parametrize("user, password", [("guest", "wrong"), ("nobody", "guest"), ("", ""), ("guest", "")])
def test_a_refused_login_is_403_for_clients_that_can_take_it(raw_client: RawClient, user: str, password: str) -> None:
    client = raw_client()
    client.start()
    client.start_ok(user, password)
    client.expect_connection_error(
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
    )


def test_a_refused_login_is_a_silent_end_for_old_clients(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    client.start_ok("guest", "wrong", capabilities={})
    with pytest.raises(Closed):
        client.next()


def expect_refusal(client: Client, code: int, text: str | None = None) -> None:
    """RabbitMQ 3.10 ends such connections without a word, after 3 s; later releases and Warren say why."""
    if client.endpoint.broker == "rabbitmq":
        client.expect_end()
    else:
        client.expect_connection_error(code, text)


def test_an_unknown_mechanism_is_a_command_error(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    client.start_ok(mechanism="SCRAM-SHA-256")
    expect_refusal(client, 503, "unknown authentication mechanism 'SCRAM-SHA-256'")


@pytest.mark.parametrize("response", ["", "guest", "\0guest", "guest\0guest"])
def test_a_malformed_plain_response_is_a_syntax_error(raw_client: RawClient, response: str) -> None:
    client = raw_client()
    client.start()
    client.start_ok(response=response)
    expect_refusal(client, 502)


def test_tune_offers_the_limits_of_rabbitmq(client: Client) -> None:
    assert client.tune.channel_max == 2047
    assert client.tune.frame_max == 131072
    assert client.tune.heartbeat == 60


def test_open_ok_follows_whatever_limits_are_lower(open_client: OpenClient) -> None:
    open_client(channel_max=10, frame_max=4096, heartbeat=30).channel(10)


@pytest.mark.parametrize(
    "channel_max, frame_max, text",
    [
        (2047, 131073, "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"),
        (2047, 0, "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"),
        (2048, 131072, "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"),
        (0, 131072, "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
        (2047, 4095, "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"),
        (2047, 1, "negotiated frame_max = 1 is lower than the minimum allowed value (4096)"),
    ],
)
def test_tune_ok_outside_the_limits_is_not_allowed(
    raw_client: RawClient, channel_max: int, frame_max: int, text: str
) -> None:
    client = raw_client()
    client.start()
    client.start_ok()
    client.expect(Connection.Tune)
    client.tune_ok(channel_max, frame_max)
    expect_refusal(client, 530, text)


def test_a_missing_virtual_host_is_not_allowed(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    client.start_ok()
    tune = client.expect(Connection.Tune)
    client.tune_ok(tune.channel_max, tune.frame_max)
    client.open("missing")
    client.expect_connection_error(530, "NOT_ALLOWED - vhost missing not found")


def test_a_virtual_host_without_permission_is_not_allowed(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    client.start_ok(PLAIN_USER.name, PLAIN_USER.password)
    tune = client.expect(Connection.Tune)
    client.tune_ok(tune.channel_max, tune.frame_max)
    client.open(OTHER_VHOST)
    client.expect_connection_error(
        530, f"NOT_ALLOWED - access to vhost '{OTHER_VHOST}' refused for user '{PLAIN_USER.name}'"
    )


def test_a_user_with_empty_patterns_may_still_connect(open_client: OpenClient) -> None:
    open_client(user=NO_RIGHTS.name, password=NO_RIGHTS.password).channel()


def test_methods_before_start_ok_end_the_connection(raw_client: RawClient, bystander: object) -> None:
    methods = [
        Connection.Open(virtual_host="/"),
        Connection.TuneOk(2047, 131072, 0),
        Channel.Open(),
        Queue.Declare(queue="x"),
        Basic.Qos(),
    ]
    clients = [raw_client() for _ in methods]
    for client, method in zip(clients, methods, strict=True):
        client.start()
        client.send(0, method)
    for client in clients:  # after the silence that strangers get, side by side
        client.expect_end(HANDSHAKE_TIMEOUT_S)


def test_a_frame_over_the_limit_before_login_ends_the_connection(raw_client: RawClient, bystander: object) -> None:
    client = raw_client()
    client.start()
    client.send_bytes(wire.frame(wire.FRAME_METHOD, 0, b"", size=100_000_000)[:7] + b"x" * 65536)
    client.expect_end(HANDSHAKE_TIMEOUT_S)


def test_the_whole_handshake_in_pieces_of_one_byte(raw_client: RawClient) -> None:
    client = raw_client()
    client.send_in_pieces(wire.PROTOCOL_HEADER)
    client.expect(Connection.Start)
    client.send_in_pieces(
        wire.method(
            0,
            Connection.StartOk(
                client_properties={"capabilities": CAPABILITIES},
                mechanism="PLAIN",
                response="\0guest\0guest",
                locale="en_US",
            ),
        )
    )
    client.expect(Connection.Tune)
    client.send_in_pieces(wire.method(0, Connection.TuneOk(2047, 131072, 0)) + wire.method(0, Connection.Open("/")))
    client.expect(Connection.OpenOk)


def test_tune_ok_open_and_channel_open_may_come_in_one_piece(raw_client: RawClient) -> None:
    client = raw_client()
    client.start()
    client.start_ok()
    client.expect(Connection.Tune)
    client.send_bytes(
        wire.method(0, Connection.TuneOk(2047, 131072, 0))
        + wire.method(0, Connection.Open("/"))
        + wire.method(1, Channel.Open())
    )
    client.expect(Connection.OpenOk)
    client.expect(Channel.OpenOk, 1)


@pytest.mark.warren_only("RabbitMQ leaves the end of TCP to the client")
def test_close_is_answered_and_ends_the_connection(client: Client) -> None:
    client.send(0, Connection.Close(reply_code=200, reply_text="bye", class_id=0, method_id=0))
    client.expect(Connection.CloseOk)
    client.expect_end()


def test_close_while_channels_are_open_is_answered(client: Client) -> None:
    for number in (1, 2, 3):
        client.channel(number)
    client.close()


@pytest.mark.warren_only("RabbitMQ 3.10 answers it or not, as the timing falls")
def test_after_a_close_by_the_server_a_crossing_close_is_answered(client: Client) -> None:
    client.send(5, Basic.Qos())  # no such channel: 504
    client.send(0, Connection.Close(reply_code=200, reply_text="bye", class_id=0, method_id=0))
    assert isinstance(client.next().method, Connection.Close)
    assert isinstance(client.next().method, Connection.CloseOk)


class Stalled:
    """A connection that said nothing more at some point of the handshake; a thread notes how long it was kept."""

    def __init__(self, endpoint: Endpoint, steps: int) -> None:
        self.client = Client(endpoint)
        self.began = time.monotonic()
        if steps >= 1:
            self.client.send_bytes(wire.PROTOCOL_HEADER[:4])
        if steps >= 2:
            self.client.send_bytes(wire.PROTOCOL_HEADER[4:])
        if steps >= 3:
            self.client.start_ok()
        self.kept_s: float | None = None
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        try:
            self.client.expect_end(HANDSHAKE_TIMEOUT_S + 10)
            self.kept_s = time.monotonic() - self.began
        except (OSError, AssertionError):
            pass  # kept_s stays None: the test tells


@pytest.fixture(scope="session", autouse=True)
def stalled_connections(broker: Endpoint) -> Iterator[list[Stalled]]:
    """Opened before the first test of the session, so that the limit has passed when it is asked about."""
    stalled = [Stalled(broker, steps) for steps in range(4)]
    yield stalled
    for one in stalled:
        one.client.drop()


def test_zz_a_stalled_handshake_is_ended_after_ten_seconds(stalled_connections: list[Stalled]) -> None:
    for one in stalled_connections:
        one.thread.join(HANDSHAKE_TIMEOUT_S + 10)
        assert one.kept_s is not None, "still open"
        assert HANDSHAKE_TIMEOUT_S - 1 < one.kept_s < HANDSHAKE_TIMEOUT_S + 5


def test_a_connection_is_usable_right_after_others_were_refused(broker: Endpoint) -> None:
    for _ in range(5):
        with Client(broker) as refused:
            refused.start()
            refused.start_ok("guest", "wrong")
    connect(broker).close()
