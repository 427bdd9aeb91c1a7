"""Frames of a connection: in order, whatever the pieces they come in; every fault with its code and level."""
import random
from typing import Any

import pytest

from amqp091.errors import CommandInvalid, NotFound
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Channel, Connection, Gateway


def test_the_protocol_header_comes_first_in_any_pieces() -> None:
    connection = Connection(Gateway(), opened=False)
    for octet in frames.HEADER:
        connection.receive(bytes([octet]))
    assert connection.headers == [frames.HEADER]
    connection.receive(frames.method(0, 10, 11, b"xyz"))
    assert connection.methods == [(0, 10, 11, b"xyz")]


def test_a_wrong_header_is_handed_over_as_it_is() -> None:
    connection = Connection(Gateway(), opened=False)
    connection.receive(b"GET / HTTP/1.1\r\n")
    assert connection.headers == [b"GET / HT"]


def test_methods_go_to_the_hook_in_order() -> None:
    connection = Connection(Gateway())
    connection.receive(frames.method(1, 50, 10, b"a") + frames.method(0, 10, 50) + frames.method(7, 20, 10, b"b"))
    assert connection.methods == [(1, 50, 10, b"a"), (0, 10, 50, b""), (7, 20, 10, b"b")]


def test_heartbeats_are_swallowed() -> None:
    connection = Connection(Gateway())
    connection.receive(frames.frame(frames.HEARTBEAT, 0, b"") * 3)
    assert not connection.errors and not connection.methods


def test_nothing_behind_a_pause_is_looked_at_until_resume() -> None:
    gateway = Gateway()
    connection = Connection(gateway)

    def pause(connection: Connection, _number: int, _method: tuple[int, int]) -> None:
        connection.pause()

    connection.on_method_do = pause
    connection.receive(frames.method(1, 50, 10) + frames.publish(1, b"body") + frames.method(1, 50, 20)[:5])
    assert connection.paused and not gateway.send()
    connection.receive(frames.method(1, 50, 20)[5:] + frames.publish(1, b"last"))
    assert len(connection.methods) == 1
    connection.resume()
    assert [record.body for record in gateway.send()] == [b"body"]
    assert [method[2] for method in connection.methods] == [10, 20] and connection.paused
    connection.resume()
    assert [record.body for record in gateway.send()] == [b"last"]
    assert connection.backlog_bytes == 0


def test_a_hook_may_pause_and_resume_at_once() -> None:
    connection = Connection(Gateway())

    def pause_and_resume(connection: Connection, _number: int, _method: tuple[int, int]) -> None:
        connection.pause()
        connection.resume()

    connection.on_method_do = pause_and_resume
    connection.receive(frames.method(1, 50, 10) * 3)
    assert len(connection.methods) == 3 and not connection.paused


def test_every_reason_to_pause_has_to_go() -> None:
    connection = Connection(Gateway())
    connection.pause(1)
    connection.pause(2)
    connection.receive(frames.method(1, 50, 10))
    connection.resume(1)
    assert not connection.methods
    connection.resume(2)
    assert connection.methods


def test_receive_is_refused_inside_a_hook_of_its_own() -> None:
    connection = Connection(Gateway())
    connection.on_method_do = lambda connection, *_: connection.receive(frames.method(1, 50, 11))
    with pytest.raises(RuntimeError):
        connection.receive(frames.method(1, 50, 10) + frames.method(1, 50, 12))
    connection.on_method_do = None
    connection.receive(frames.method(1, 50, 13))
    assert [method[2] for method in connection.methods] == [10, 12, 13], "what came behind the failure was kept"


def test_a_hook_may_close_the_connection() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 3)
    connection.on_method_do = lambda connection, *_: connection.close()
    connection.receive(frames.method(1, 50, 10) + frames.publish(1, b"x") + frames.method(1, 50, 10))
    assert len(connection.methods) == 1 and not gateway.send()
    connection.receive(frames.method(1, 50, 10))
    assert connection.closed and len(connection.methods) == 1


def test_any_cut_of_the_input_gives_the_same(seed: int = 20261121) -> None:
    """Publishes in one and in many frames, interleaved over channels, with acks of nothing between: same records."""
    stream = (
        frames.publish(1, b"first")
        + frames.publish(2, b"")
        + frames.publish_method(1, b"", b"r")
        + frames.publish_method(2, b"", b"q")
        + frames.content_header(2, 10)
        + frames.content_header(1, 9, frames.properties(delivery_mode=2, headers=frames.table({b"k": b"v" * 50})))
        + frames.body_frame(2, b"01234")
        + frames.body_frame(1, b"abc")
        + frames.method(3, 50, 10, b"in between")
        + frames.body_frame(2, b"")
        + frames.body_frame(1, b"defghi")
        + frames.body_frame(2, b"56789")
        + frames.publish(3, bytes(range(256)) * 40, cut=1000)
        + frames.frame(frames.HEARTBEAT, 0, b"")
        + frames.publish(1, b"last")
    )

    def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
        gateway = Gateway()
        connection = Connection(gateway, 3)
        for piece in pieces:
            connection.receive(piece)
        assert not connection.errors and connection.backlog_bytes == 0
        return gateway.send(0), gateway.send(1), connection.methods

    whole = outcome([stream])
    assert len(whole[0]) == 5 and len(whole[1]) == 1
    assert outcome([bytes([octet]) for octet in stream]) == whole
    rng = random.Random(seed)
    for _ in range(60):
        cuts = sorted(rng.sample(range(1, len(stream)), rng.randrange(1, 40)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert outcome(pieces) == whole, (seed, cuts)


def test_any_pause_gives_the_same() -> None:
    """Each method pauses; resumed at once or after the next piece has come."""
    stream = b"".join(
        frames.publish(1, b"%d" % i) + frames.method(1, 50, 10, b"%d" % i) + frames.publish(2, b"x%d" % i, cut=1)
        for i in range(8)
    )
    for size in (1, 3, 7, 40, len(stream)):
        gateway = Gateway()
        connection = Connection(gateway, 2)
        connection.on_method_do = lambda connection, *_: connection.pause()
        for at in range(0, len(stream), size):
            connection.receive(stream[at : at + size])
            connection.resume()
        while connection.backlog_bytes:
            connection.resume()
        assert [record.body for record in gateway.send()] == [
            body for i in range(8) for body in (b"%d" % i, b"x%d" % i)
        ]
        assert [method[3] for method in connection.methods] == [b"%d" % i for i in range(8)]


FAULTS = {
    "a frame over frame_max": (frames.frame(3, 1, bytes(131_072 - 7)), 0, 501),
    "no end octet": (frames.frame(1, 1, b"\0\x32\0\x0a", end=0), 0, 501),
    "an unknown frame type": (frames.frame(9, 1, b""), 0, 501),
    "a method frame too short for its ids": (frames.frame(1, 1, b"\0\x3c"), 0, 501),
    "a heartbeat with a payload": (frames.frame(8, 0, b"x"), 0, 501),
    "a heartbeat on a channel": (frames.frame(8, 1, b""), 0, 505),
    "a header without a publish": (frames.content_header(1, 5), 0, 505),
    "a body without a publish": (frames.body_frame(1, b"x"), 0, 505),
    "a header on a channel that is not open": (frames.content_header(9, 5), 0, 505),
    "a header on channel 0": (frames.content_header(0, 5), 0, 505),
    "a method where a header is due": (frames.publish_method(1) + frames.method(1, 50, 10), 0, 505),
    "a publish where a header is due": (frames.publish_method(1) * 2, 0, 505),
    "a body where a header is due": (frames.publish_method(1) + frames.body_frame(1, b"x"), 0, 505),
    "a header of another class": (frames.publish_method(1) + frames.content_header(1, 1, class_id=50), 0, 505),
    "a header with a weight": (frames.publish_method(1) + frames.content_header(1, 1, weight=1), 0, 505),
    "a header where a body is due": (frames.publish_method(1) + frames.content_header(1, 1) * 2, 0, 505),
    "a method where a body is due": (
        frames.publish_method(1) + frames.content_header(1, 1) + frames.ack(1, 1), 0, 505),
    "a body over its declared size": (
        frames.publish_method(1) + frames.content_header(1, 1) + frames.body_frame(1, b"xy"), 0, 501),
    "a body behind an empty content": (frames.publish(1) + frames.body_frame(1, b""), 0, 505),
    "a body over 512 MiB": (frames.publish_method(1) + frames.content_header(1, (512 << 20) + 1), 0, 501),
    "a publish that does not decode": (frames.method(1, 60, 40, b"\0\0\xffab"), 0, 502),
    "properties that do not decode": (frames.publish_method(1) + frames.content_header(1, 0, b"\x80\0\xff"), 0, 502),
    "an ack that does not decode": (frames.method(1, 60, 80, b"\0"), 0, 502),
    "an immediate publish": (frames.publish_method(1, immediate=True), 0, 540),
    "a message over max_message_size": (frames.publish_method(1) + frames.content_header(1, (128 << 20) + 1), 1, 406),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("by_octet", [False, True], ids=["whole", "by octet"])
def test_a_fault_has_its_code_and_level(fault: str, by_octet: bool) -> None:
    stream, level, code = FAULTS[fault]
    connection = Connection(Gateway())
    if by_octet and len(stream) < 4096:
        for octet in stream:
            connection.receive(bytes([octet]))
    else:
        connection.receive(stream)
    assert [(number, error.reply_code) for number, error in connection.errors] == [(level, code)]
    assert connection.closing == (level == 0)


def test_frame_errors_read_as_rabbitmqs() -> None:
    def text(stream: bytes) -> str:
        connection = Connection(Gateway())
        connection.receive(stream)
        return connection.errors[0][1].text

    assert text(frames.frame(1, 1, b"hello", end=1)) == 'type 1, all octets = <<"hello">>: {invalid_frame_end_marker,1}'
    assert text(frames.frame(3, 1, bytes(200_000))) == "type 3, all octets = <<>>: {frame_too_large,200000,131064}"
    assert text(frames.frame(8, 1, b"")) == "type 8, all octets = <<>>"
    assert text(frames.body_frame(1, b"")) == "expected method frame, got non method frame instead"


def test_channels_are_unheard_before_the_connection_is_open() -> None:
    connection = Connection(Gateway())
    connection.opened = False
    connection.receive(frames.method(1, 20, 10))
    assert connection.failed()[0][:2] == (0, 505)


def test_a_closing_connection_hears_only_close_and_close_ok() -> None:
    connection = Connection(Gateway())
    connection.closing = True
    connection.receive(
        frames.publish(1, b"x") + frames.body_frame(1, b"x") + frames.method(1, 10, 50) + frames.method(0, 10, 40)
        + frames.method(0, 10, 50, b"!") + frames.method(0, 10, 51)
    )
    assert connection.methods == [(0, 10, 50, b"!"), (0, 10, 51, b"")] and not connection.errors


def test_nothing_is_read_behind_a_broken_frame() -> None:
    connection = Connection(Gateway())
    connection.receive(frames.frame(9, 0, b"") + frames.method(0, 10, 51))
    connection.receive(frames.method(0, 10, 51))
    assert not connection.methods and len(connection.errors) == 1 and connection.backlog_bytes == 0


def test_a_channel_error_closes_that_channel_alone() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    connection.receive(
        frames.publish(1, b"lost", routing_key=b"missing")
        + frames.publish(1, b"lost too")
        + frames.body_frame(1, b"stray")
        + frames.publish(2, b"kept") + frames.method(1, 50, 10) + frames.ack(1, 99) + frames.method(1, 20, 41)
    )
    assert connection.failed() == [(1, 404, "no exchange")]
    assert [record.body for record in gateway.send()] == [b"kept"]
    assert connection.methods == [(1, 20, 41, b"")]


def test_the_number_of_a_closed_channel_may_be_opened_again() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    old = connection.channels[1]
    old.close()
    connection.remove_channel(1)
    new = Channel(connection, 1)
    assert new.handle != old.handle
    connection.receive(frames.publish(1, b"x"))
    assert gateway.send()[0].channel == new.handle
    old.release()
    old.release()
    assert gateway.channel(old.handle) is None and gateway.channel(new.handle) is new


def test_errors_of_a_cold_handler_end_in_the_same_place() -> None:
    connection = Connection(Gateway(), 2)

    def refuse(_connection: Connection, number: int, _method: tuple[int, int]) -> None:
        raise (NotFound("no queue") if number else CommandInvalid("unknown method"))

    connection.on_method_do = refuse
    connection.receive(frames.method(1, 50, 10) + frames.method(1, 50, 10) + frames.method(2, 50, 10))
    assert connection.failed() == [(1, 404, "no queue"), (2, 404, "no queue")]
    connection.receive(frames.method(0, 10, 99))
    assert connection.failed()[2] == (0, 503, "unknown method") and connection.closing


def test_another_exception_of_a_handler_leaves_receive() -> None:
    connection = Connection(Gateway())

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    connection.on_method_do = fail
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            connection.receive(frames.method(1, 50, 10))
    connection.close()
