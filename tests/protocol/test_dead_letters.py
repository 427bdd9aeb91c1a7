"""Dead letters: why messages die, where their letters go, and what the headers of a letter say."""
from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Basic, Properties, Queue
from tests.harness.wire import Message

OpenClient = Callable[..., Client]

DELIVERED_S_MAX = 10.0
TTL_MS = 30


def dying_queue(channel: ChannelClient, name: str, exchange: str = "", key: str | None = None, **arguments: Any) -> str:
    """A queue with a dead-letter exchange. `message_ttl` stands for x-message-ttl."""
    table: dict[str, Any] = {"x-dead-letter-exchange": exchange}
    if key is not None:
        table["x-dead-letter-routing-key"] = key
    table.update({"x-" + argument.replace("_", "-"): value for argument, value in arguments.items()})
    durable = table.get("x-queue-type") == "quorum"
    channel.declare(name, arguments=table, durable=durable)
    return name


def next_in(channel: ChannelClient, queue: str) -> Message:
    """The next message of the queue, as soon as it is there."""
    deadline_s = time.monotonic() + DELIVERED_S_MAX
    while time.monotonic() < deadline_s:
        message = channel.get(queue, no_ack=True)
        if message is not None:
            return message
        time.sleep(0.005)
    raise AssertionError(f"nothing came to {queue}")


def refuse(channel: ChannelClient, queue: str) -> Message:
    """The next message of the queue is rejected."""
    channel.send(Basic.Get(queue=queue))
    arrival = channel.client.next_on(channel.number)
    assert arrival.message is not None, f"{queue} is empty"
    channel.reject(arrival.message.delivery_tag, requeue=False)
    return arrival.message


def refuse_when_there(channel: ChannelClient, queue: str) -> Message:
    deadline_s = time.monotonic() + DELIVERED_S_MAX
    while channel.count(queue) == 0:
        assert time.monotonic() < deadline_s, f"nothing came to {queue}"
        time.sleep(0.005)
    return refuse(channel, queue)


def headers_of(message: Message) -> dict[str, Any]:
    headers: dict[str, Any] = message.properties.headers
    return headers


def deaths_of(message: Message) -> list[tuple[str, str, int]]:
    return [(death["queue"], death["reason"], death["count"]) for death in headers_of(message)["x-death"]]


class TestReasons:
    """Each of them, with what x-death says."""

    @pytest.mark.oracle
    def test_rejected(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        before_s = int(time.time())
        channel.publish("", queue, b"body", Properties(headers={"h": "v"}, message_id="m", delivery_mode=2))
        refuse(channel, queue)
        letter = next_in(channel, dead)
        assert (letter.body, letter.method.exchange, letter.method.routing_key, letter.redelivered) == (
            b"body", "", dead, False)
        headers = headers_of(letter)
        (death,) = headers.pop("x-death")
        died_at = death.pop("time")
        assert isinstance(died_at, datetime.datetime)
        assert before_s <= died_at.timestamp() <= time.time()
        assert death == {"count": 1, "reason": "rejected", "queue": queue, "exchange": "", "routing-keys": [queue]}
        assert {name: value for name, value in headers.items() if not name.startswith("x-last-death")} == {
            "h": "v", "x-first-death-reason": "rejected", "x-first-death-queue": queue, "x-first-death-exchange": ""}
        assert (letter.properties.message_id, letter.properties.delivery_mode) == ("m", 2)
        assert channel.count(queue) == 0

    @pytest.mark.oracle
    @pytest.mark.parametrize("how", ["reject", "nack", "nack multiple"])
    def test_by_reject_and_nack(self, channel: ChannelClient, names: Names, how: str) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish_many("", queue, [b"1", b"2", b"3"])
        channel.consume(queue, "c")
        deliveries = channel.deliveries(3)
        if how == "nack multiple":
            channel.nack(deliveries[-1].delivery_tag, multiple=True, requeue=False)
        else:
            for delivery in deliveries:
                (channel.reject if how == "reject" else channel.nack)(delivery.delivery_tag, requeue=False)
        letters = [next_in(channel, dead) for _ in range(3)]
        assert [letter.body for letter in letters] == [b"1", b"2", b"3"]
        assert all(deaths_of(letter) == [(queue, "rejected", 1)] for letter in letters)

    @pytest.mark.oracle
    def test_expired_by_the_queue(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, message_ttl=TTL_MS)
        channel.publish("", queue, b"body")
        letter = next_in(channel, dead)
        assert deaths_of(letter) == [(queue, "expired", 1)]
        assert "original-expiration" not in headers_of(letter)["x-death"][0]
        assert headers_of(letter)["x-first-death-reason"] == "expired"

    @pytest.mark.oracle
    def test_expired_by_its_own_expiration_which_the_letter_does_not_have(
        self, channel: ChannelClient, names: Names
    ) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish("", queue, b"body", Properties(expiration=str(TTL_MS), priority=3, correlation_id="c"))
        letter = next_in(channel, dead)
        (death,) = headers_of(letter)["x-death"]
        assert (death["reason"], death["original-expiration"], death["count"]) == ("expired", str(TTL_MS), 1)
        properties = letter.properties
        assert (properties.expiration, properties.priority, properties.correlation_id) == (None, 3, "c")

    @pytest.mark.oracle
    def test_an_expiration_is_noted_and_removed_whatever_the_reason(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish("", queue, b"body", Properties(expiration="100000"))
        refuse(channel, queue)
        letter = next_in(channel, dead)
        (death,) = headers_of(letter)["x-death"]
        assert (death["reason"], death["original-expiration"]) == ("rejected", "100000")
        assert letter.properties.expiration is None

    @pytest.mark.oracle
    def test_a_time_to_live_of_nothing(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, message_ttl=0)
        channel.publish("", queue, b"1")
        channel.publish("", queue, b"2", Properties(expiration="0"))
        assert [next_in(channel, dead).body for _ in range(2)] == [b"1", b"2"]

    @pytest.mark.oracle
    @pytest.mark.parametrize("limit", [{"max_length": 2}, {"max_length_bytes": 2}])
    def test_maxlen_drops_the_head(self, channel: ChannelClient, names: Names, limit: dict[str, int]) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, **limit)
        channel.publish_many("", queue, [b"1", b"2", b"3", b"4"])
        letters = [next_in(channel, dead) for _ in range(2)]
        assert [letter.body for letter in letters] == [b"1", b"2"]
        assert all(deaths_of(letter) == [(queue, "maxlen", 1)] for letter in letters)
        assert channel.get_all(queue) == [b"3", b"4"]

    @pytest.mark.oracle
    def test_reject_publish_dlx_nacks_and_buries_what_has_no_room(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, max_length=1, overflow="reject-publish-dlx")
        channel.confirm()
        channel.publish_many("", queue, [b"1", b"2", b"3"])
        assert channel.wait_confirms(3) == {2, 3}
        letters = [next_in(channel, dead) for _ in range(2)]
        assert [letter.body for letter in letters] == [b"2", b"3"]
        assert all(deaths_of(letter) == [(queue, "maxlen", 1)] for letter in letters)
        assert channel.get_all(queue) == [b"1"]

    @pytest.mark.oracle
    def test_reject_publish_buries_nothing(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, max_length=1, overflow="reject-publish")
        channel.confirm()
        channel.publish_many("", queue, [b"1", b"2"])
        assert channel.wait_confirms(2) == {2}
        assert channel.count(dead) == 0

    @pytest.mark.oracle
    def test_delivery_limit(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, queue_type="quorum", delivery_limit=1)
        channel.publish("", queue, b"body")
        channel.consume(queue, "c")
        for _ in range(2):
            channel.reject(channel.delivery().delivery_tag, requeue=True)
        channel.cancel("c")
        letter = next_in(channel, dead)
        assert letter.body == b"body"
        assert deaths_of(letter) == [(queue, "delivery_limit", 1)]


class TestNoReasons:
    """Messages that go without a letter."""

    @pytest.mark.oracle
    def test_purged_and_deleted_messages_have_none(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish_many("", queue, [b"1", b"2"])
        assert channel.purge(queue) == 2
        channel.publish("", queue, b"3")
        assert channel.delete(queue) == 1
        channel.expect_nothing(dead)
        assert channel.count(dead) == 0

    @pytest.mark.oracle
    def test_nor_have_those_of_a_queue_that_expires(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead, expires=TTL_MS)
        channel.publish("", queue, b"gone")
        probe = channel.client.channel(2)
        deadline_s = time.monotonic() + DELIVERED_S_MAX
        while True:
            # each declaration is a use of the queue
            time.sleep(TTL_MS / 1000 * 2)
            probe.send(Queue.Declare(queue=queue, passive=True))
            if not isinstance(channel.client.next_on(2).method, Queue.DeclareOk):
                break
            assert time.monotonic() < deadline_s, "the queue does not expire"
        assert channel.count(dead) == 0

    @pytest.mark.oracle
    def test_nor_have_acknowledged_and_returned_ones(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish_many("", queue, [b"1", b"2"])
        channel.consume(queue, "c")
        first, second = channel.deliveries(2)
        channel.ack(first.delivery_tag)
        channel.reject(second.delivery_tag, requeue=True)
        assert channel.delivery().body == b"2"
        assert channel.count(dead) == 0


class TestWhere:
    """Routes of dead letters."""

    @pytest.mark.oracle
    def test_by_the_keys_of_the_message_where_the_queue_names_none(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        channel.declare_exchange(exchange)
        queue = dying_queue(channel, names("q"), exchange)
        channel.bind(dead, exchange, queue)
        channel.publish("", queue, b"body")
        refuse(channel, queue)
        letter = next_in(channel, dead)
        assert (letter.method.exchange, letter.method.routing_key) == (exchange, queue)

    @pytest.mark.oracle
    def test_an_empty_key_is_a_key(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        channel.declare_exchange(exchange)
        queue = dying_queue(channel, names("q"), exchange, key="")
        channel.bind(dead, exchange, "")
        channel.publish("", queue, b"body")
        refuse(channel, queue)
        assert next_in(channel, dead).method.routing_key == ""

    @pytest.mark.oracle
    def test_to_every_queue_of_a_fanout(self, channel: ChannelClient, names: Names) -> None:
        exchange = names("dlx")
        dead = [channel.exclusive_queue(names(f"dead{number}")) for number in range(5)]
        channel.declare_exchange(exchange, "fanout")
        for name in dead:
            channel.bind(name, exchange)
        queue = dying_queue(channel, names("q"), exchange)
        channel.publish_many("", queue, [b"1", b"2"])
        for _ in range(2):
            refuse(channel, queue)
        for name in dead:
            assert [next_in(channel, name).body for _ in range(2)] == [b"1", b"2"]

    @pytest.mark.oracle
    def test_by_a_topic(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        channel.declare_exchange(exchange, "topic")
        channel.bind(dead, exchange, "dead.#")
        queue = dying_queue(channel, names("q"), exchange, key="dead.because")
        channel.publish("", queue, b"body")
        refuse(channel, queue)
        assert next_in(channel, dead).method.routing_key == "dead.because"

    @pytest.mark.oracle
    def test_by_the_headers_of_the_message(self, channel: ChannelClient, names: Names) -> None:
        exchange = names("dlx")
        red, blue = channel.exclusive_queue(names("red")), channel.exclusive_queue(names("blue"))
        channel.declare_exchange(exchange, "headers")
        channel.bind(red, exchange, arguments={"colour": "red"})
        channel.bind(blue, exchange, arguments={"colour": "blue"})
        queue = dying_queue(channel, names("q"), exchange)
        for colour in ("red", "blue", "green", "red"):
            channel.publish("", queue, colour.encode(), Properties(headers={"colour": colour}))
            refuse(channel, queue)
        assert [next_in(channel, red).body for _ in range(2)] == [b"red", b"red"]
        assert next_in(channel, blue).body == b"blue"

    @pytest.mark.oracle
    def test_over_a_binding_between_exchanges_and_an_alternate_exchange(
        self, channel: ChannelClient, names: Names
    ) -> None:
        exchange, alternate, last = names("dlx"), names("alternate"), names("last")
        dead = channel.exclusive_queue(names("dead"))
        channel.declare_exchange(last, "fanout")
        channel.declare_exchange(alternate, "fanout")
        channel.declare_exchange(exchange, arguments={"alternate-exchange": alternate})
        channel.bind_exchange(last, alternate)
        channel.bind(dead, last)
        queue = dying_queue(channel, names("q"), exchange)
        channel.publish("", queue, b"body")
        refuse(channel, queue)
        assert next_in(channel, dead).method.exchange == exchange

    @pytest.mark.oracle
    def test_an_exchange_that_is_missing_then_there(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), exchange)
        channel.publish("", queue, b"dropped")
        refuse(channel, queue)
        channel.expect_nothing(queue)
        channel.declare_exchange(exchange, "fanout")
        channel.bind(dead, exchange)
        channel.publish("", queue, b"kept")
        refuse(channel, queue)
        assert next_in(channel, dead).body == b"kept"
        assert channel.count(queue) == 0

    @pytest.mark.oracle
    def test_without_a_route_it_is_dropped_and_a_new_binding_is_seen_at_once(
        self, channel: ChannelClient, names: Names
    ) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        channel.declare_exchange(exchange)
        queue = dying_queue(channel, names("q"), exchange, key="k")
        for number, bound in enumerate((False, True, False, True)):
            if bound:
                channel.bind(dead, exchange, "k")
            else:
                channel.unbind(dead, exchange, "k")
            channel.publish("", queue, b"%d" % number)
            refuse(channel, queue)
            channel.expect_nothing(queue)
            if bound:
                assert next_in(channel, dead).body == b"%d" % number
        assert channel.count(dead) == 0

    @pytest.mark.oracle
    def test_a_consumer_gets_letters(self, open_client: OpenClient, channel: ChannelClient, names: Names) -> None:
        """One of another connection, from queues that may be on any shard."""
        dead = names("dead")
        channel.declare(dead)
        consumer = open_client().channel()
        consumer.consume(dead, no_ack=True)
        queues = [dying_queue(channel, names(f"q{number}"), key=dead) for number in range(6)]
        for queue in queues:
            channel.publish_many("", queue, [queue.encode()] * 20)
            channel.consume(queue, queue)
            channel.nack(channel.deliveries(20)[-1].delivery_tag, multiple=True, requeue=False)
        bodies = [consumer.delivery().body for _ in range(120)]
        assert sorted(bodies) == sorted(queue.encode() for queue in queues for _ in range(20))


class TestHistory:
    """More than one death."""

    @pytest.mark.oracle
    def test_a_message_that_dies_twice(self, channel: ChannelClient, names: Names) -> None:
        last = channel.exclusive_queue(names("last"))
        second = dying_queue(channel, names("second"), key=last)
        first = dying_queue(channel, names("first"), key=second, message_ttl=TTL_MS)
        channel.publish("", first, b"body")
        refuse_when_there(channel, second)
        letter = next_in(channel, last)
        assert deaths_of(letter) == [(second, "rejected", 1), (first, "expired", 1)]
        headers = headers_of(letter)
        assert [headers[f"x-first-death-{part}"] for part in ("reason", "queue", "exchange")] == ["expired", first, ""]
        assert [death["routing-keys"] for death in headers["x-death"]] == [[second], [first]]

    @pytest.mark.oracle
    def test_a_repeated_death_is_counted_and_comes_to_the_front(self, channel: ChannelClient, names: Names) -> None:
        """A queue for retries: what is rejected comes back after a while."""
        work, wait = names("work"), names("wait")
        dying_queue(channel, work, key=wait)
        dying_queue(channel, wait, key=work, message_ttl=TTL_MS)
        channel.publish("", work, b"body", Properties(expiration="99999"))
        for times in range(1, 4):
            refuse_when_there(channel, work)
            deadline_s = time.monotonic() + DELIVERED_S_MAX
            while channel.count(work) == 0:
                assert time.monotonic() < deadline_s
                time.sleep(0.005)
            message = channel.get(work, no_ack=times == 3)
            assert message is not None
            assert deaths_of(message) == [(wait, "expired", times), (work, "rejected", times)]
            if times < 3:
                channel.reject(message.delivery_tag, requeue=True)
        # all but the count is of the first time
        deaths = headers_of(message)["x-death"]
        assert [death.get("original-expiration") for death in deaths] == [None, "99999"]
        assert [death["exchange"] for death in deaths] == ["", ""]
        assert [death["routing-keys"] for death in deaths] == [[wait], [work]]
        assert headers_of(message)["x-first-death-reason"] == "rejected"

    @pytest.mark.warren_only("RabbitMQ has the last death from 4.0 on")
    def test_the_last_death(self, channel: ChannelClient, names: Names) -> None:
        exchange, last = names("dlx"), channel.exclusive_queue(names("last"))
        channel.declare_exchange(exchange, "fanout")
        second = dying_queue(channel, names("second"), key=last)
        channel.bind(second, exchange)
        first = dying_queue(channel, names("first"), exchange)
        channel.publish("", first, b"body")
        refuse(channel, first)
        letter = refuse_when_there(channel, second)
        assert [headers_of(letter)[f"x-last-death-{part}"] for part in ("reason", "queue", "exchange")] == [
            "rejected", first, ""]
        headers = headers_of(next_in(channel, last))
        assert [headers[f"x-last-death-{part}"] for part in ("reason", "queue", "exchange")] == [
            "rejected", second, exchange]

    @pytest.mark.warren_only("RabbitMQ has this order, with the expiration first, from 4.0 on")
    def test_the_order_of_the_fields(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish("", queue, b"", Properties(expiration=str(TTL_MS)))
        assert list(headers_of(next_in(channel, dead))["x-death"][0]) == [
            "original-expiration", "count", "reason", "queue", "time", "exchange", "routing-keys"]

    @pytest.mark.warren_only("RabbitMQ believes a client's x-death before 4.0")
    def test_what_a_client_claims_does_not_count(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        claims = {
            "x-death": [{"queue": queue, "reason": "rejected", "count": 5}, {"queue": dead, "reason": "expired"}],
            "x-first-death-reason": "boredom", "x-last-death-queue": "limbo", "mine": 1,
        }
        channel.publish("", queue, b"body", Properties(headers=claims))
        message = refuse(channel, queue)
        assert headers_of(message) == claims
        letter = next_in(channel, dead)
        assert deaths_of(letter) == [(queue, "rejected", 1)]
        headers = headers_of(letter)
        assert (headers["x-first-death-reason"], headers["x-last-death-queue"], headers["mine"]) == (
            "rejected", queue, 1)

    @pytest.mark.warren_only("RabbitMQ believes a client's x-death before 4.0")
    def test_a_letter_that_a_client_publishes_again_starts_anew(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish("", queue, b"body")
        for _ in range(2):
            refuse(channel, queue)
            letter = next_in(channel, dead)
            assert deaths_of(letter) == [(queue, "rejected", 1)]
            channel.publish("", queue, letter.body, letter.properties)

    @pytest.mark.oracle
    def test_a_claim_of_a_strange_form_does_no_harm(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"))
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish("", queue, b"body", Properties(headers={"x-death": "often"}))
        refuse(channel, queue)
        assert deaths_of(next_in(channel, dead)) == [(queue, "rejected", 1)]


class TestCircles:
    """Messages that would go round for ever without a client."""

    @pytest.mark.oracle
    def test_a_queue_that_expires_into_itself(self, channel: ChannelClient, names: Names) -> None:
        queue = names("q")
        dying_queue(channel, queue, key=queue, message_ttl=TTL_MS)
        channel.publish("", queue, b"body")
        time.sleep(4 * TTL_MS / 1000)       # RabbitMQ counts before the message has come
        channel.wait_count(queue, 0)
        time.sleep(TTL_MS / 1000)
        assert channel.count(queue) == 0

    @pytest.mark.oracle
    def test_a_circle_of_two_ends_where_it_began(self, channel: ChannelClient, names: Names) -> None:
        """The others of a fanout still get it."""
        exchange, one, other = names("dlx"), names("one"), names("other")
        witness = channel.exclusive_queue(names("witness"))
        channel.declare_exchange(exchange, "fanout")
        dying_queue(channel, one, key=other, message_ttl=TTL_MS)
        dying_queue(channel, other, exchange, message_ttl=TTL_MS)
        channel.bind(one, exchange)
        channel.bind(witness, exchange)
        channel.publish("", one, b"body")
        letter = next_in(channel, witness)
        assert deaths_of(letter) == [(other, "expired", 1), (one, "expired", 1)]
        channel.expect_nothing(one, other)
        assert (channel.count(one), channel.count(other)) == (0, 0)

    @pytest.mark.oracle
    def test_a_circle_with_a_rejection_goes_on(self, channel: ChannelClient, names: Names) -> None:
        queue = names("q")
        dying_queue(channel, queue, key=queue)
        channel.publish("", queue, b"body")
        for _ in range(4):
            refuse_when_there(channel, queue)
        assert deaths_of(next_in(channel, queue)) == [(queue, "rejected", 4)]

    @pytest.mark.oracle
    def test_maxlen_into_itself_is_a_circle(self, channel: ChannelClient, names: Names) -> None:
        queue = names("q")
        dying_queue(channel, queue, key=queue, max_length=1)
        channel.publish_many("", queue, [b"1", b"2", b"3"])
        channel.expect_nothing(queue)
        assert channel.get_all(queue) == [b"3"]


class TestCopies:
    """CC and BCC."""

    @pytest.mark.oracle
    def test_routing_keys_with_copies(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead = names("dlx"), channel.exclusive_queue(names("dead"))
        channel.declare_exchange(exchange, "fanout")
        channel.bind(dead, exchange)
        queue = dying_queue(channel, names("q"), exchange)
        channel.publish("", queue, b"body", Properties(headers={"CC": ["cc1", "cc2"], "BCC": ["bcc"]}))
        refuse(channel, queue)
        letter = next_in(channel, dead)
        assert headers_of(letter)["x-death"][0]["routing-keys"] == [queue, "cc1", "cc2"]
        assert headers_of(letter)["CC"] == ["cc1", "cc2"]

    @pytest.mark.oracle
    def test_letters_go_by_all_keys(self, channel: ChannelClient, names: Names) -> None:
        exchange = names("dlx")
        dead = {key: channel.exclusive_queue(names(key)) for key in ("cc", "other", "key")}
        channel.declare_exchange(exchange)
        queue = dying_queue(channel, names("q"), exchange)
        for key, name in dead.items():
            channel.bind(name, exchange, queue if key == "key" else key)
        for _ in range(2):
            channel.publish("", queue, b"body", Properties(headers={"CC": ["cc", "other", "nowhere"]}))
            refuse(channel, queue)
            for name in dead.values():
                letter = next_in(channel, name)
                assert letter.method.routing_key == queue
                assert headers_of(letter)["x-death"][0]["routing-keys"] == [queue, "cc", "other", "nowhere"]

    @pytest.mark.warren_only("BCC is not kept with a message; RabbitMQ's letters follow it, too")
    def test_letters_do_not_go_by_blind_copies(self, channel: ChannelClient, names: Names) -> None:
        exchange, dead, blind = names("dlx"), names("dead"), names("blind")
        channel.declare_exchange(exchange)
        for name, key in ((dead, "cc"), (blind, "bcc")):
            channel.exclusive_queue(name)
            channel.bind(name, exchange, key)
        queue = dying_queue(channel, names("q"), exchange)
        channel.publish("", queue, b"body", Properties(headers={"CC": ["cc"], "BCC": ["bcc"]}))
        refuse(channel, queue)
        letter = next_in(channel, dead)
        assert "BCC" not in headers_of(letter)
        assert headers_of(letter)["x-death"][0]["routing-keys"] == [queue, "cc"]
        assert channel.count(blind) == 0

    @pytest.mark.oracle
    def test_with_a_key_of_the_queue_copies_do_not_count(self, channel: ChannelClient, names: Names) -> None:
        exchange = names("dlx")
        dead, copy = channel.exclusive_queue(names("dead")), channel.exclusive_queue(names("copy"))
        channel.declare_exchange(exchange)
        channel.bind(dead, exchange, "dead")
        channel.bind(copy, exchange, "cc")
        queue = dying_queue(channel, names("q"), exchange, key="dead")
        channel.publish("", queue, b"body", Properties(headers={"CC": ["cc"]}))
        refuse(channel, queue)
        letter = next_in(channel, dead)
        assert headers_of(letter)["x-death"][0]["routing-keys"] == [queue, "cc"]
        assert "CC" not in headers_of(letter)
        assert channel.count(copy) == 0


class TestTargets:
    """Queues that letters come to."""

    @pytest.mark.oracle
    def test_limits_and_times_of_the_target_hold(self, channel: ChannelClient, names: Names) -> None:
        last = channel.exclusive_queue(names("last"))
        short = dying_queue(channel, names("short"), key=last, max_length=1)
        queue = dying_queue(channel, names("q"), key=short)
        channel.publish_many("", queue, [b"1", b"2", b"3"])
        channel.consume(queue, "c")
        channel.nack(channel.deliveries(3)[-1].delivery_tag, multiple=True, requeue=False)
        letters = [next_in(channel, last) for _ in range(2)]
        assert [letter.body for letter in letters] == [b"1", b"2"]
        assert deaths_of(letters[0]) == [(short, "maxlen", 1), (queue, "rejected", 1)]
        assert channel.get_all(short) == [b"3"]

    @pytest.mark.oracle
    def test_priorities_of_the_target(self, channel: ChannelClient, names: Names) -> None:
        dead = channel.exclusive_queue(names("dead"), **{"x-max-priority": 5})
        queue = dying_queue(channel, names("q"), key=dead)
        for priority in (1, 5, 3):
            channel.publish("", queue, b"%d" % priority, Properties(priority=priority))
        channel.consume(queue, "c")
        channel.nack(channel.deliveries(3)[-1].delivery_tag, multiple=True, requeue=False)
        deadline_s = time.monotonic() + DELIVERED_S_MAX
        while channel.count(dead) < 3:
            assert time.monotonic() < deadline_s
        assert channel.get_all(dead) == [b"5", b"3", b"1"]

    @pytest.mark.warren_only("a classic queue of RabbitMQ drops what the target refuses")
    def test_what_a_full_target_refuses_comes_when_it_has_room(self, channel: ChannelClient, names: Names) -> None:
        dead = names("dead")
        channel.declare(dead, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        queue = dying_queue(channel, names("q"), key=dead)
        channel.publish_many("", queue, [b"1", b"2", b"3"])
        channel.consume(queue, "c")
        channel.nack(channel.deliveries(3)[-1].delivery_tag, multiple=True, requeue=False)
        assert sorted(next_in(channel, dead).body for _ in range(3)) == [b"1", b"2", b"3"]

    @pytest.mark.oracle
    def test_a_full_target_that_buries_what_it_refuses(self, channel: ChannelClient, names: Names) -> None:
        last = channel.exclusive_queue(names("last"))
        full = dying_queue(channel, names("full"), key=last, max_length=1, overflow="reject-publish-dlx")
        queue = dying_queue(channel, names("q"), key=full)
        channel.publish_many("", queue, [b"1", b"2"])
        channel.consume(queue, "c")
        channel.nack(channel.deliveries(2)[-1].delivery_tag, multiple=True, requeue=False)
        letter = next_in(channel, last)
        assert (letter.body, deaths_of(letter)) == (b"2", [(full, "maxlen", 1), (queue, "rejected", 1)])
        assert channel.get_all(full) == [b"1"]
