"""Whatever a broker sends to the load tool: it is counted, or ends the run in words, and no byte behind it is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amqp091.errors import AMQPError
from amqp091.methods import BasicAck, BasicConsumeOk, BasicQosOk, ChannelFlow, ConnectionBlocked, encode
from amqp091.renderer import render_deliver, render_return
from bench.perf.board import Board as SharedBoard
from bench.perf.core import board as phases
from bench.perf.core.board import Board
from bench.perf.core.connection import Connection
from bench.perf.core.consumer import Consumer
from bench.perf.core.producer import Producer
from bench.perf.core.verifier import Verifier
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.messages import template

FRAME_MAX = 4096
MADE = template(Load(), FRAME_MAX, 1)

frames = st.one_of(
    st.builds(
        lambda tag, number, redelivered, body: render_deliver(
            1, tag, number, redelivered, b"x", b"q", b"\0\0", body, FRAME_MAX),
        st.sampled_from([b"0", b"1", b"7", b"", b"999999999999"]), st.integers(0, 2**64 - 1), st.booleans(),
        st.binary(max_size=120),
    ),
    st.builds(lambda tag, multiple: encode(1, BasicAck(tag, multiple)), st.integers(0, 2**64 - 1), st.booleans()),
    st.sampled_from([
        encode(1, BasicConsumeOk("0")), encode(1, BasicQosOk()), encode(1, ChannelFlow(False)),
        encode(0, ConnectionBlocked("why")), render_return(1, 312, b"", b"", b"q", b"\0\0", b"body", FRAME_MAX),
        MADE.message(0, 1, 2, 0),
    ]),
    st.binary(max_size=40),
)


def consumer(board: Board) -> Connection:
    queues = np.arange(2, dtype=np.uint32)
    return Consumer(board, "consumer", -1, FRAME_MAX, b"", queues, Verifier(board, 1, 3, 2, queues), 2)


def producer(board: Board) -> Connection:
    one = np.zeros(1, np.uint32)
    made = Producer(board, "producer", -1, FRAME_MAX, MADE, 0, one, one + np.uint32(1), window=3)
    made.enter(phases.RUN, 1)
    made.filled(2)
    return made


@settings(max_examples=200, deadline=None)
@given(
    made=st.sampled_from([consumer, producer]), parts=st.lists(frames, max_size=8), piece=st.integers(1, 200),
    damage=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3),
)
def test_anything_from_a_broker(
    made: Callable[[Board], Connection], parts: list[bytes], piece: int, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(b"".join(parts))
    for place, value in damage:
        if place < len(data):
            data[place] = value
    shared = SharedBoard(1)
    connection = made(Board(shared.memory))
    left = b""
    try:
        for start in range(0, len(data), piece):
            left += bytes(data[start : start + piece])
            left = left[connection.feed(left, 3) :]
            connection.filled(4)
    except (LoadError, AMQPError) as error:
        assert str(error)
    finally:
        shared.close()
    assert shared.counter("delivered") <= len(parts)
