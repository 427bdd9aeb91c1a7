"""What dead letters say of their deaths."""
from __future__ import annotations

from typing import Any

import pytest

from amqp091.properties import Properties, decode, encode
from amqp091.values import Timestamp
from shards.engine.death import goes_in_circles, with_death

NOW_S = 1_700_000_000


class Message:
    """Properties as they travel: a decoded count would be encoded as another kind of integer."""

    def __init__(self, properties: Properties | None = None, wire: bytes | None = None) -> None:
        self.wire = encode(properties or Properties()) if wire is None else wire
        self.recorded = wire is not None

    def died(self, queue: str = "q", reason: str = "rejected", *, exchange: str = "x", key: str = "k",
             rekeyed: bool = False, time_s: int = NOW_S) -> Message:
        return Message(wire=with_death(
            self.wire, queue=queue.encode(), exchange=exchange.encode(), routing_key=key.encode(), reason=reason,
            recorded=self.recorded, rekeyed=rekeyed, time_s=time_s,
        ))

    def circles(self, queue: str, reason: str, target: str) -> bool:
        return goes_in_circles(
            self.wire, queue=queue.encode(), reason=reason, recorded=self.recorded, target=target.encode())

    @property
    def properties(self) -> Properties:
        return decode(self.wire)

    @property
    def headers(self) -> dict[str, Any]:
        headers = self.properties.headers
        assert headers is not None
        return headers

    @property
    def deaths(self) -> list[tuple[str, str, int]]:
        return [(death["queue"], death["reason"], death["count"]) for death in self.headers["x-death"]]


def test_a_first_death() -> None:
    message = Message(Properties(headers={"a": 1}, delivery_mode=2, expiration="5000", message_id="m"))
    dead = message.died("q", "expired")
    assert dead.properties == Properties(delivery_mode=2, message_id="m", headers={
        "a": 1,
        "x-death": [{"original-expiration": "5000", "count": 1, "reason": "expired", "queue": "q",
                     "time": Timestamp(NOW_S), "exchange": "x", "routing-keys": ["k"]}],
        "x-first-death-reason": "expired", "x-first-death-queue": "q", "x-first-death-exchange": "x",
        "x-last-death-reason": "expired", "x-last-death-queue": "q", "x-last-death-exchange": "x",
    })
    assert list(dead.headers["x-death"][0]) == [
        "original-expiration", "count", "reason", "queue", "time", "exchange", "routing-keys"]


def test_the_count_is_a_long_and_the_time_a_timestamp() -> None:
    wire = Message().died().wire
    assert b"\x05countl" + (1).to_bytes(8, "big") in wire
    assert b"\x04timeT" + NOW_S.to_bytes(8, "big") in wire


def test_a_message_without_properties_gets_headers() -> None:
    dead = Message().died()
    assert dead.deaths == [("q", "rejected", 1)]
    assert "original-expiration" not in dead.headers["x-death"][0]


def test_a_repeated_death_is_counted_and_moves_to_the_front() -> None:
    message = Message(Properties(expiration="10")).died("q1", "expired").died("q2", "rejected", exchange="dlx")
    message = message.died("q1", "rejected").died("q1", "expired", exchange="other", key="changed", time_s=NOW_S + 60)
    assert message.deaths == [("q1", "expired", 2), ("q1", "rejected", 1), ("q2", "rejected", 1)]
    latest = message.headers["x-death"][0]
    # the rest is of the first time
    assert (latest["exchange"], latest["routing-keys"], latest["time"], latest["original-expiration"]) == (
        "x", ["k"], NOW_S, "10")


def test_the_first_death_is_written_once_and_the_last_each_time() -> None:
    headers = Message().died("q1", "expired").died("q2", "maxlen", exchange="dlx").headers
    assert [headers[f"x-first-death-{part}"] for part in ("reason", "queue", "exchange")] == ["expired", "q1", "x"]
    assert [headers[f"x-last-death-{part}"] for part in ("reason", "queue", "exchange")] == ["maxlen", "q2", "dlx"]


def test_what_a_client_claims_is_replaced() -> None:
    dead = Message(Properties(headers={
        "x-death": [{"count": 7, "reason": "rejected", "queue": "q"}], "x-first-death-reason": "old age",
        "x-last-death-queue": "elsewhere", "kept": True,
    })).died()
    assert dead.deaths == [("q", "rejected", 1)]
    assert (dead.headers["x-first-death-reason"], dead.headers["x-last-death-queue"]) == ("rejected", "q")
    assert dead.headers["kept"] is True


@pytest.mark.parametrize("x_death", ["text", 1, [], [1, "two"], [{}], [{"queue": "q", "reason": "rejected"}]])
def test_an_x_death_of_another_form_is_no_hindrance(x_death: Any) -> None:
    dead = Message(wire=encode(Properties(headers={"x-death": x_death}))).died()
    first = dead.headers["x-death"][0]
    assert (first["queue"], first["reason"], first["count"]) == ("q", "rejected", 1)


def test_carbon_copies_are_routing_keys_and_blind_ones_are_not() -> None:
    headers = Message(Properties(headers={"CC": ["c1", "c2", 3], "BCC": ["b"]})).died().headers
    assert headers["x-death"][0]["routing-keys"] == ["k", "c1", "c2"]
    assert (headers["CC"], headers["BCC"]) == (["c1", "c2", 3], ["b"])


def test_with_another_key_copies_are_over() -> None:
    headers = Message(Properties(headers={"CC": ["c"], "BCC": ["b"], "a": 1})).died(rekeyed=True).headers
    assert headers["x-death"][0]["routing-keys"] == ["k", "c"]
    assert "CC" not in headers and "BCC" not in headers and headers["a"] == 1


def test_the_oldest_deaths_are_forgotten_before_no_frame_can_hold_them() -> None:
    message = Message()
    for number in range(800):
        message = message.died(f"q{number}")
    queues = [queue for queue, _, _ in message.deaths]
    assert 400 < len(queues) < 800
    assert queues == [f"q{799 - n}" for n in range(len(queues))]
    assert len(message.wire) < 66 << 10


@pytest.mark.parametrize("reason", ["expired", "maxlen", "delivery_limit"])
def test_back_into_the_queue_that_it_just_died_in_is_a_circle(reason: str) -> None:
    assert Message().circles("q", reason, "q")
    assert not Message().circles("q", reason, "other")


def test_a_rejection_is_never_a_circle() -> None:
    assert not Message().died("q", "expired").circles("q", "rejected", "q")


def test_a_circle_over_several_queues() -> None:
    message = Message().died("a", "expired").died("b", "maxlen")
    assert message.circles("c", "expired", "a")
    assert message.circles("c", "expired", "b")
    assert not message.circles("c", "expired", "d")


def test_a_circle_with_a_rejection_in_it_goes_on() -> None:
    message = Message().died("a", "expired").died("b", "rejected")
    assert not message.circles("c", "expired", "a")
    assert not message.circles("c", "expired", "b")
    # a later one without: the rejection was before
    assert message.died("c", "expired").circles("d", "expired", "c")


def test_a_client_cannot_claim_a_circle() -> None:
    claims = Message(Properties(headers={"x-death": [{"queue": "target", "reason": "expired", "count": 1}]}))
    assert not claims.circles("q", "expired", "target")
