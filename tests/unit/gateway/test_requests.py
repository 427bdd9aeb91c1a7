"""Requests to shards: answers find their asker, and a shard's death loses none."""
import asyncio
from typing import Any

import orjson
import pytest

from amqp091.errors import AccessRefused, NotFound
from gateway.drive import Drive
from gateway.requests import ShardRequests


class Carrier:
    """Remembers what was sent; its shard is up or down as told."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[tuple[int, dict[str, Any]]] = []

    def shard_is_up(self, shard: int) -> bool:
        return self.up

    def request(self, shard: int, request_id: int, document: bytes) -> bool:
        self.sent.append((request_id, orjson.loads(document)))
        return True


def started() -> tuple[Carrier, ShardRequests, asyncio.AbstractEventLoop]:
    carrier, loop = Carrier(), asyncio.new_event_loop()
    return carrier, ShardRequests(carrier, loop), loop


def test_an_answer_finds_its_request() -> None:
    carrier, requests, loop = started()
    one, two = requests.ask(0, {"verb": "count"}), requests.ask(0, {"verb": "purge"})
    requests.answered(carrier.sent[1][0], b'{"message_count": 3}')
    assert not one.done() and two.result() == {"message_count": 3}
    assert requests.unanswered_count == 1
    loop.close()


def test_a_refusal_is_the_error_it_names() -> None:
    carrier, requests, loop = started()
    future = requests.ask(0, {"verb": "consume"})
    requests.answered(carrier.sent[0][0], orjson.dumps({"error": [403, "ACCESS_REFUSED - in exclusive use"]}))
    error = future.exception()
    assert isinstance(error, AccessRefused) and error.text == "in exclusive use"
    loop.close()


def test_an_answer_nobody_waits_for_is_dropped() -> None:
    _, requests, loop = started()
    requests.answered(99, b"{}")
    requests.completed(99)
    loop.close()


def test_on_answer_comes_before_whoever_awaits() -> None:
    carrier, requests, loop = started()
    order: list[str] = []
    future = requests.ask(0, {"verb": "consume"}, on_answer=lambda _: order.append("answer"))
    future.add_done_callback(lambda _: order.append("awaited"))
    requests.answered(carrier.sent[0][0], b"{}")
    assert order == ["answer"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == ["answer", "awaited"]
    loop.close()


def test_requests_of_a_dead_shard_are_sent_again_in_order() -> None:
    carrier, requests, loop = started()
    first = requests.ask(0, {"verb": "count", "queue_id": 1})
    elsewhere = requests.ask(1, {"verb": "count", "queue_id": 9})
    prepared: list[int] = []
    carrier.sent.clear()
    carrier.up = False
    requests.shard_down(0)
    second = requests.ask(0, {"verb": "get", "queue_id": 2}, prepare=prepared.append)
    assert carrier.sent == [] and prepared == []
    carrier.up = True
    requests.shard_up(0)
    assert [document["queue_id"] for _, document in carrier.sent] == [1, 2] and len(prepared) == 1
    for request_id, _ in carrier.sent:
        requests.answered(request_id, b"{}")
    assert first.done() and second.done() and not elsewhere.done()
    loop.close()


def test_what_a_dead_shard_should_forget_it_has_forgotten() -> None:
    carrier, requests, loop = started()
    future = requests.ask(0, {"verb": "close_channel"}, moot_when_down=True)
    carrier.up = False
    requests.shard_down(0)
    assert future.result() == {}
    assert requests.ask(0, {"verb": "close_connection"}, moot_when_down=True).result() == {}
    loop.close()


def test_a_shard_is_not_waited_for_without_end() -> None:
    carrier, requests, loop = started()
    carrier.up = False
    future = requests.ask(0, {"verb": "count"})
    requests.expire(10.0)
    requests.expire(69.0)
    assert not future.done()
    requests.expire(71.0)
    assert isinstance(future.exception(), NotFound) and requests.unanswered_count == 0
    loop.close()


def test_a_handler_that_waits_for_nothing_ends_at_once() -> None:
    async def handler() -> None:
        pass

    drive = Drive(handler(), lambda error: pytest.fail("not called"))
    assert drive.start() and drive.error is None


def test_a_handler_that_refuses_at_once() -> None:
    async def handler() -> None:
        raise NotFound("no")

    drive = Drive(handler(), lambda error: pytest.fail("not called"))
    assert drive.start() and isinstance(drive.error, NotFound)


def test_a_handler_goes_on_with_each_answer() -> None:
    ended: list[BaseException | None] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        one, two = loop.create_future(), loop.create_future()
        heard: list[object] = []

        async def handler() -> None:
            heard.append(await one)
            try:
                await asyncio.gather(two)
            except NotFound as error:
                heard.append(error)
            await asyncio.sleep(0)
            raise ValueError("a bug")

        assert not Drive(handler(), ended.append).start()
        one.set_result(1)
        await asyncio.sleep(0)
        two.set_exception(NotFound("no"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert heard[0] == 1 and isinstance(heard[1], NotFound)

    asyncio.run(scenario())
    assert len(ended) == 1 and isinstance(ended[0], ValueError)
