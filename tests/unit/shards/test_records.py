"""Records whose lengths lie never reach further than the batch."""
import random

import pytest

from shards.engine import BadRecord
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import DELAYED, PUBLISH, credit, publish, request, settle


def test_receive_stops_at_json_and_goes_on_behind_it(bench: Bench) -> None:
    first, question, last = publish(1), request(7, verb="count", queue_id=1), publish(1)
    batch = first + question + last
    offset = bench.engine.receive(0, batch)
    assert offset == len(first)
    kind, request_id, document, offset = bench.engine.read_json(batch, offset)
    assert (kind, request_id, document) == (4, 7, b'{"verb":"count","queue_id":1}')
    assert bench.engine.receive(0, batch, offset) == len(batch)
    assert bench.ready() == 2


@pytest.mark.parametrize(
    "record",
    [publish(1), publish([1, 2, 3], not_before_ms=5), settle(1, 1), credit(1, 1), request(1, verb="barrier")],
)
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


def test_a_delay_that_does_not_fit_the_record(bench: Bench) -> None:
    """The flag moves everything behind it by eight bytes: content that fitted is beyond the end now."""
    raw = bytearray(publish(1, b"", routing_key=b"", properties=b"\0\0"))
    raw[5] |= DELAYED
    with pytest.raises(BadRecord):
        bench.engine.receive(0, bytes(raw))


@pytest.mark.parametrize("queues", [[1], [1, 2], [2, 1, 3]])
def test_a_delayed_record_is_read_behind_its_time(bench: Bench, queues: list[int]) -> None:
    bench.engine.now_ms = 1_700_000_000_000
    bench.feed(
        publish(queues, b"later", exchange=b"x", not_before_ms=bench.engine.now_ms + 1),
        publish(queues, b"past", exchange=b"x", not_before_ms=bench.engine.now_ms),
    )
    bench.consume(1)
    (record,) = bench.take()
    assert (record.exchange, record.routing_key, record.body) == (b"x", b"key", b"past")
    assert bench.engine.describe(1)["messages_delayed"] == 1


def test_noise_is_refused_or_harmless(bench: Bench) -> None:
    dice = random.Random(20)
    bench.consume(1)
    good = publish([1, 2], b"body") + publish([1, 2, 1], not_before_ms=1) + settle(1, 1) + credit(1, 5)
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


@pytest.mark.parametrize("broken", range(24))
def test_what_is_looked_at_ahead_may_be_broken(bench: Bench, broken: int) -> None:
    """Publishes to many queues are looked at together before the first is applied: each still counts for itself."""
    queue_ids = range(1, 25)
    for queue_id in queue_ids[2::2]:                # others do not exist
        bench.engine.add_queue(queue_id, False, False)
        bench.consume(queue_id, queue_id, no_ack=True)
    bench.consume(1, 1, no_ack=True)
    bench.consume(2, 2, no_ack=True)
    batch = [publish(queue_id, str(queue_id).encode()) for queue_id in queue_ids]
    expected = [b"%d" % queue_id for queue_id in queue_ids[:broken] if queue_id in (1, 2) or queue_id % 2]
    for lie in (0, 7, 0xFFFF_FFF8):
        batch[broken] = lie.to_bytes(4, "little") + batch[broken][4:]
        with pytest.raises(BadRecord):
            bench.engine.receive(0, b"".join(batch))
        assert bench.bodies() == expected
    with pytest.raises(BadRecord):
        bench.engine.receive(0, b"".join(batch[:broken]) + publish(queue_ids[broken])[:-8])
    assert bench.bodies() == expected
