"""Records whose lengths lie never reach further than the batch."""
import random

import pytest

from shards.engine import BadRecord
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import PUBLISH, credit, publish, request, settle


def test_receive_stops_at_json_and_goes_on_behind_it(bench: Bench) -> None:
    first, question, last = publish(1), request(7, verb="count", queue_id=1), publish(1)
    batch = first + question + last
    offset = bench.engine.receive(0, batch)
    assert offset == len(first)
    kind, request_id, document, offset = bench.engine.read_json(batch, offset)
    assert (kind, request_id, document) == (4, 7, b'{"verb":"count","queue_id":1}')
    assert bench.engine.receive(0, batch, offset) == len(batch)
    assert bench.ready() == 2


@pytest.mark.parametrize("record", [publish(1), settle(1, 1), credit(1, 1), request(1, verb="barrier")])
def test_a_record_cut_short(bench: Bench, record: bytes) -> None:
    for size in range(1, len(record)):
        with pytest.raises(BadRecord):
            offset = bench.engine.receive(0, record[:size])
            bench.engine.read_json(record[:size], offset)


@pytest.mark.parametrize(("offset", "value"), [(0, 0), (0, 4), (0, 9), (0, 1 << 20), (4, 0), (4, 99)])
def test_headers_that_make_no_sense(bench: Bench, offset: int, value: int) -> None:
    raw = bytearray(publish(1))
    raw[offset : offset + (4 if offset == 0 else 1)] = value.to_bytes(4 if offset == 0 else 1, "little")
    with pytest.raises(BadRecord):
        bench.engine.receive(0, bytes(raw))


@pytest.mark.parametrize(
    "lie", [(6, 2, 0xFFFF), (12, 4, 0xFFFF_FFFF), (24, 4, 0xFFFF_FFFF), (28, 1, 255), (29, 1, 255)]
)
def test_inner_lengths_beyond_the_record(bench: Bench, lie: tuple[int, int, int]) -> None:
    offset, size, value = lie
    raw = bytearray(publish(1))
    raw[offset : offset + size] = value.to_bytes(size, "little")
    with pytest.raises(BadRecord):
        bench.engine.receive(0, bytes(raw))
    assert PUBLISH.size == 40


def test_noise_is_refused_or_harmless(bench: Bench) -> None:
    dice = random.Random(20)
    bench.consume(1)
    good = publish([1, 2], b"body") + settle(1, 1) + credit(1, 5)
    for _ in range(3000):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        try:
            bench.engine.receive(0, bytes(raw))
        except BadRecord:
            pass
        bench.engine.dispatch()
        bench.take()
