"""What a turn of the gateway owes to everybody, whatever becomes of one connection."""
from pathlib import Path

import pytest

from amqp091.method_table import BasicConsume, QueueDeclare
from bus.bad_record import BadRecord
from gateway.channel import Channel
from tests.unit.gateway.bench import Bench, Client, scenario, turn
from tests.unit.gateway_core import records
from tests.unit.gateway_core.test_lent import deliver_lent

BODY_BYTES = 100_000


def fails() -> None:
    raise MemoryError("no room for the output")


async def consuming(bench: Bench) -> tuple[Client, int]:
    """A client with a consumer, and the handle of that."""
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, BasicConsume(queue="q", consumer_tag="tag", no_ack=True))
    channel = client.connection.channel(1)
    assert isinstance(channel, Channel)
    return client, channel.consumers["tag"].handle


@scenario
async def test_a_connection_whose_output_cannot_be_written_ends_and_the_others_get_theirs(bench: Bench) -> None:
    (broken, of_broken), (other, of_other) = [await consuming(bench) for _ in range(2)]
    other.wire.output = b""
    broken.wire.flush = fails                       # type: ignore[method-assign]
    bench.links[0].say(records.deliver(of_broken, b"one") + records.deliver(of_other, b"two"))
    bench.gateway.send_event(0, {"event": "something"})
    await turn()
    assert b"two" in other.wire.output
    assert bench.links[0].events()[-1] == {"event": "something"}
    assert broken.wire.aborted and not other.wire.aborted
    assert broken.connection.take_output() is None


async def test_nobody_names_a_batch_that_is_given_back(tmp_path: Path) -> None:
    """Whatever the socket of one did."""
    bench = Bench()
    path = tmp_path / "data"
    path.write_bytes(bytes(range(250)) * 1000)
    (broken, of_broken), (other, of_other) = [await consuming(bench) for _ in range(2)]
    bench.gateway.lend(0, 7, str(path), 1 << 20)
    broken.wire.flush = fails                       # type: ignore[method-assign]
    other.connection.writable = False
    other.wire.flush = lambda: None                 # type: ignore[method-assign]
    lent = [deliver_lent(consumer, 0, BODY_BYTES) for consumer in (of_broken, of_other)]
    bench.links[0].say(b"".join(lent) + records.event({"event": "lend_end", "file": 7}))
    assert not broken.connection.has_lent and not other.connection.has_lent
    assert bytes(range(250)) * 100 in bytes(other.connection.take_output() or b"")
    assert broken.wire.aborted and not other.wire.aborted


@scenario
async def test_a_batch_that_makes_no_sense_is_its_links_fault(bench: Bench) -> None:
    """And what was right of it is done with before the link hears of it."""
    client, consumer = await consuming(bench)
    client.wire.output = b""
    broken = records.watermark(1)[:-8]
    with pytest.raises(BadRecord):
        bench.links[0].say(records.deliver(consumer, b"one") + broken)
    bench.gateway.flush()
    assert b"one" in client.wire.output and not client.connection.closing


async def test_a_room_that_cannot_be_mapped_is_given_back_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    gone = {"event": "room", "file": 7, "path": "/nowhere", "bytes": 1 << 20, "start": 64, "end": 128, "beginning": ""}
    bench.links[0].say(records.event(gone) + records.event({**gone, "file": 8}))
    await turn()
    assert bench.links[0].events() == [
        {"event": "room_end", "file": number, "body": 0, "back": True} for number in (7, 8)]
    (said,) = caplog.records
    assert said.levelname == "WARNING" and "/nowhere" in said.getMessage()
