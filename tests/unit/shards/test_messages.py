"""The verbs for single messages: what is found by which filter, how answers are cut into pages, what is refused."""
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from amqp091.properties import Properties, encode
from amqp091.values import Binary, Timestamp
from shards import messages
from shards.messages import Messages
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import publish
from topology.replica import Replica


class Desk:
    """An operator at queue 1."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.woken = 0
        self.messages = Messages(bench.engine, Replica(), lambda: None, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def browse(self, **fields: Any) -> dict[str, Any]:
        return await self.messages.browse({"queue_id": 1, **fields})

    async def found(self, **fields: Any) -> list[int]:
        return [message["position"] for message in (await self.browse(**fields))["messages"]]

    async def delete(self, **fields: Any) -> int:
        answer = await self.messages.delete({"queue_id": 1, **fields})
        assert answer["next"] is None
        return int(answer["message_count"])


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


def with_headers(body: bytes = b"x", routing_key: bytes = b"key", **headers: Any) -> bytes:
    return publish(1, body, routing_key=routing_key, properties=encode(Properties(headers=headers)))


async def test_a_message_as_json(desk: Desk) -> None:
    properties = Properties(content_type="text/plain", headers={"n": 1, "at": Timestamp(5)}, message_id="caf\udce9")
    desk.bench.feed(publish(1, "grüße".encode(), exchange=b"e", properties=encode(properties)))
    (shown,) = (await desk.browse())["messages"]
    assert shown.pop("received_at_ms") == 0
    assert shown == {
        "position": 1, "state": "ready", "redelivered": False, "delivery_count": 0, "priority": 0, "exchange": "e",
        "routing_key": "key", "payload": "grüße", "payload_encoding": "string", "payload_bytes": 7,
        "payload_truncated": False,
        "properties": {
            "content_type": "text/plain", "headers": {"n": 1, "at": {"$": "timestamp", "value": 5}},
            "message_id": "caf\\xe9",
        },
    }


@pytest.mark.parametrize("body, shown_bytes, payload, encoding", [
    (b"\xff\xfe", 100, "//4=", "base64"),
    ("äöü".encode(), 3, "ä", "string"),         # the second one is cut in two
    (b"abc", 0, "", "string"),
    (b"\xc3", 100, "ww==", "base64"),
])
async def test_payloads_that_are_no_text_or_cut_off(
    desk: Desk, body: bytes, shown_bytes: int, payload: str, encoding: str
) -> None:
    desk.bench.feed(publish(1, body))
    (shown,) = (await desk.browse(payload_bytes_max=shown_bytes))["messages"]
    assert (shown["payload"], shown["payload_encoding"]) == (payload, encoding)
    assert (shown["payload_bytes"], shown["payload_truncated"]) == (len(body), shown_bytes < len(body))


async def test_properties_that_do_not_decode_are_shown_in_hexadecimal(desk: Desk) -> None:
    desk.bench.feed(publish(1, properties=b"\x20\0\0\0\0\1"))
    (shown,) = (await desk.browse(payload=False))["messages"]
    assert shown["properties"] == {"undecoded": "200000000001"} and "payload" not in shown


async def test_filters(desk: Desk) -> None:
    desk.bench.feed(
        with_headers(b"a needle", b"stock.nyse.ibm", kind="order", size=3),
        with_headers(b"b", b"stock.nasdaq", kind="offer", size=3, ok=True),
        with_headers(b"c", b"stock", kind="3", blob=Binary(b"needle")),
        publish(1, b"d", routing_key=b""))
    assert await desk.found(search="needle") == [1, 3]
    assert await desk.found(headers={"size": "3"}) == [1, 2]
    assert await desk.found(headers={"kind": "3"}) == [3]
    assert await desk.found(headers={"size": "3", "ok": "true"}) == [2]
    assert await desk.found(headers={"siz": "3"}) == []
    assert await desk.found(routing_key="stock.#") == [1, 2, 3]
    assert await desk.found(routing_key="stock.*") == [2]
    assert await desk.found(routing_key="#") == [1, 2, 3, 4]
    assert await desk.found(routing_key="stock.#", search="needle", headers={"kind": "order"}) == [1]
    assert await desk.found(positions=[[4, 9], [2, 2], [1, 0]]) == [2, 4]
    assert await desk.found(positions=[[1, 3]], **{"from": 3}) == [3]
    assert await desk.found(states=["unacked"]) == []


async def test_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "SLICE_MESSAGES_MAX", 4)
    desk.bench.feed(*(publish(1, b"%d" % (number % 3)) for number in range(30)))
    found: list[int] = []
    following = 0
    while following is not None:
        answer = await desk.browse(count=5, search="1", **{"from": following})
        assert len(answer["messages"]) <= 5
        found += [message["position"] for message in answer["messages"]]
        following = answer["next"]
    assert found == list(range(2, 31, 3))


async def test_an_answer_ends_with_its_bytes_and_its_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.bench.feed(*(publish(1, b"x" * 1000) for _ in range(600)))
    monkeypatch.setattr(messages, "BROWSED_BYTES_MAX", 2500)
    answer = await desk.browse()
    assert (len(answer["messages"]), answer["next"]) == (3, 4)
    monkeypatch.setattr(messages, "ANSWER_S_MAX", 0.0)
    answer = await desk.browse(payload=False, search="nothing like it")
    assert answer == {"messages": [], "next": 257, "last": 600}
    answer = await desk.messages.delete({"queue_id": 1, "search": "x", "positions": [[5, 8], [11, 20]]})
    assert answer == {"message_count": 4, "next": 11, "last": 600}


async def test_what_comes_meanwhile_is_not_meant(desk: Desk) -> None:
    desk.bench.feed(publish(1), publish(1))
    last = (await desk.browse())["last"]
    desk.bench.feed(publish(1))
    assert await desk.delete(to=last) == 2
    assert await desk.found() == [3]
    assert await desk.found(to=2) == await desk.found(to=2, positions=[[1, 9]]) == []


async def test_the_shard_goes_on_meanwhile(desk: Desk) -> None:
    desk.bench.feed(*(publish(1) for _ in range(2000)))
    browsing = asyncio.get_running_loop().create_task(desk.browse(search="nothing"))
    await asyncio.sleep(0)
    turns = 0
    while not browsing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 2000 // messages.SLICE_MESSAGES_MAX
    assert browsing.result() == {"messages": [], "next": None, "last": 2000}


async def test_deletion(desk: Desk) -> None:
    desk.bench.feed(*(publish(1, b"%d" % number) for number in range(1, 11)))
    assert await desk.delete(positions=[[2, 4], [9, 9]]) == 4
    assert desk.woken
    assert await desk.delete(positions=[[2, 4]]) == 0
    assert await desk.delete(search="1") == 2           # 1 and 10
    assert await desk.found() == [5, 6, 7, 8]
    assert await desk.delete(states=["ready", "delayed"]) == 4
    with pytest.raises(PreconditionFailed):
        await desk.delete(states=["unacked"])


@pytest.mark.parametrize("fields", [
    {"from": -1}, {"from": "5"}, {"from": True}, {"from": 2**64}, {"positions": [1]}, {"positions": [[1]]},
    {"positions": [[1, 2**64]]}, {"positions": "5"}, {"positions": [[1, 2]] * 10_001}, {"states": []},
    {"states": ["gone"]}, {"search": 5}, {"search": "x" * 5000}, {"headers": ["a"]}, {"headers": {"a": 1}},
    {"routing_key": 1}, {"count": 1001}, {"count": -1}, {"payload_bytes_max": 1 << 40},
])
async def test_what_makes_no_sense_is_refused(desk: Desk, fields: dict[str, Any]) -> None:
    with pytest.raises(PreconditionFailed):
        await desk.browse(**fields)


async def test_delayed_messages_are_shown_and_deleted(tmp_path: Path) -> None:
    desk = Desk(Bench(tmp_path))
    desk.bench.engine.add_queue(1, True, False)
    desk.bench.engine.now_ms = 1000
    for ready_at_ms in (5000, 3000, 4000):
        desk.bench.feed(publish(1, b"later", not_before_ms=ready_at_ms))
    desk.bench.feed(publish(1, b"now"))
    assert await desk.found() == [4]
    shown = (await desk.browse(states=["delayed", "ready"]))["messages"]
    assert [(one["position"], one["state"], one.get("ready_at_ms")) for one in shown] == [
        (1, "delayed", 5000), (2, "delayed", 3000), (3, "delayed", 4000), (4, "ready", None)]
    assert await desk.delete(positions=[[2, 2]]) == 0
    assert await desk.delete(positions=[[2, 2]], states=["ready", "delayed"]) == 1
    while desk.bench.engine.expire(5000):
        pass
    desk.bench.consume(no_ack=True)
    assert desk.bench.bodies() == [b"now", b"later", b"later"]
    assert desk.bench.store.live_entries == 0
