"""The publishes that the template renders, read back by the broker's own reader of frames."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from amqp091.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD
from amqp091.properties import decode
from amqp091.scanner import read_content_header, read_frame, read_publish
from bench.perf.core.template import STAMP_SIZE, Template
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.messages import template

STAMP = struct.Struct("<QQII")
RUN = 5


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        frame = read_frame(data)
        assert frame is not None
        found.append(frame[1:])
        data = data[frame[0] :]
    return found


def rendered(key: int = 0, **options: Any) -> tuple[bytes, bytes, bytes]:
    """Payloads of basic.publish and content header, and the whole body."""
    made = template(Load(**options), 4096, RUN)
    method, header, *body = frames(made.message(key, 111, 222, 3))
    assert [kind for kind, _, _ in (method, header)] == [FRAME_METHOD, FRAME_HEADER]
    assert all(kind == FRAME_BODY and channel == 1 and len(payload) <= 4088 for kind, channel, payload in body)
    return method[2], header[2], b"".join(payload for _, _, payload in body)


def test_a_message_has_its_key_its_size_and_its_stamp() -> None:
    method, header, body = rendered(1, exchange_type="topic", queues=2, queue_prefix="p", size=100)
    assert read_publish(method) == (b"p", b"perf.1.event", False, False)
    assert read_content_header(header)["body_size"] == len(body) == 100
    assert STAMP.unpack_from(body) == (111, 222, 3, RUN)
    assert body[STAMP_SIZE:] == b"x" * 76


@pytest.mark.parametrize(("size", "stamp"), [(0, b""), (7, b""), (8, STAMP.pack(111, 222, 3, RUN)[:8]),
                                             (16, STAMP.pack(111, 222, 3, RUN)[:16]),
                                             (23, STAMP.pack(111, 222, 3, RUN)[:16])])
def test_a_short_body_has_the_fields_that_fit(size: int, stamp: bytes) -> None:
    _, header, body = rendered(size=size)
    assert read_content_header(header)["body_size"] == len(body) == size
    assert body == stamp + b"x" * (size - len(stamp))


def test_a_long_body_is_cut_to_frames() -> None:
    _, _, body = rendered(size=10_000)
    assert len(body) == 10_000 and STAMP.unpack_from(body) == (111, 222, 3, RUN)


def test_properties_and_headers() -> None:
    _, header, _ = rendered(
        1, exchange_type="headers", queues=2, persistent=True, mandatory=True, properties={"priority": 4},
        headers={"tenant": "a"},
    )
    found = decode(read_content_header(header)["properties"])
    assert (found.delivery_mode, found.priority) == (2, 4)
    assert found.headers == {"tenant": "a", "perf-key": 1}
    assert read_publish(rendered(mandatory=True)[0])[2]


def test_properties_that_are_none_are_refused() -> None:
    with pytest.raises(LoadError, match="colour"):
        template(Load(properties={"colour": "red"}), 4096, RUN)
    with pytest.raises(LoadError, match="priority"):
        template(Load(properties={"priority": "high"}), 4096, RUN)


def test_a_template_checks_what_it_is_made_of() -> None:
    with pytest.raises(ValueError):
        Template([], b"")
    with pytest.raises(ValueError):
        Template([b"head"], b"no frame")
    with pytest.raises(IndexError):
        Template([b"head"], b"").message(1, 0, 0, 0)
