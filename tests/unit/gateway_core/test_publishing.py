"""basic.publish: its record, its checks in RabbitMQ's order, its route."""
import pytest

from amqp091.errors import AccessRefused
from amqp091.tables import encode_table
from gateway.core import Route
from gateway.core.route_cache import PLACES_LOOKED_AT_MAX, ROUTES_PER_CHANNEL_MAX
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Channel, Connection, Gateway


def test_a_publish_becomes_one_record_with_everything_in_it() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    properties = frames.properties(
        headers=frames.table({b"k": b"v"}), delivery_mode=2, priority=7, reply_to=b"replies",
        expiration=b"60000")
    connection.receive(frames.publish(1, b"body", properties, exchange=b"x", routing_key=b"q"))
    assert gateway.pending_shards() == [0]
    assert gateway.send() == [
        records.Published(
            channel=connection.channels[1].handle, flags=records.PERSISTENT, publish_sequence=0, queues=(10,),
            exchange=b"x", routing_key=b"q", properties=properties, body=b"body", priority=7, ttl_ms=60_000)
    ]
    assert gateway.pending_shards() == [] and connection.has_published


def test_one_record_per_shard_names_all_its_queues() -> None:
    gateway = Gateway(3)
    connection = Connection(gateway)
    connection.routes[b"many"] = Route([(2, 1, True), (0, 2, False), (2, 3, False), (2, 4, True)])
    connection.receive(frames.publish(1, b"m", routing_key=b"many"))
    assert [record.queues for record in gateway.send(2)] == [(1, 3, 4)]
    assert [record.queues for record in gateway.send(0)] == [(2,)]
    assert gateway.send(1) == []


def test_more_queues_than_a_record_counts_go_into_several() -> None:
    gateway = Gateway(1)
    connection = Connection(gateway)
    connection.routes[b"many"] = Route((0, queue, True) for queue in range(70_000))
    connection.receive(frames.publish(1, b"m", routing_key=b"many"))
    first, second = gateway.send()
    assert first.queues + second.queues == tuple(range(70_000))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 4096, 131_064, 131_065, 1_000_000])
@pytest.mark.parametrize("cut", [4088, 131_064])
def test_bodies_of_any_size_and_cut(size: int, cut: int) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    connection.receive(frames.publish(1, body, cut=cut) + frames.publish(1, b"next"))
    assert [record.body for record in gateway.send()] == [body, b"next"]


def test_names_of_255_bytes_and_of_none() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    long = b"\xff" * 255
    connection.routes[long] = connection.routes[b""] = Route([(0, 1, True)])
    connection.receive(frames.publish(1, exchange=long, routing_key=long) + frames.publish(1, routing_key=b""))
    assert [(record.exchange, record.routing_key) for record in gateway.send()] == [(long, long), (b"", b"")]


def test_a_route_is_asked_once_until_the_topology_moves() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    for _ in range(3):
        connection.receive(frames.publish(1) * 3 + frames.publish(1, routing_key=b"r") * 2)
    channel = connection.channels[1]
    assert channel.asked == [(b"", b"q", None), (b"", b"r", None)]
    connection.receive(frames.publish(2))
    assert connection.channels[2].asked == [(b"", b"q", None)]
    connection.routes[b"q"] = Route([(1, 99, True)])
    gateway.stamps.touch_everything()
    gateway.send(0)
    gateway.send(1)
    connection.receive(frames.publish(1) * 2)
    assert [record.queues for record in gateway.send(1)] == [(99,), (99,)] and gateway.send(0) == []
    assert len(channel.asked) == 3


def test_a_refused_route_is_not_remembered() -> None:
    connection = Connection(Gateway(), 2)

    def refuse() -> Route:
        raise AccessRefused("write access refused")

    connection.routes[b"secret"] = refuse
    for number in (1, 2):
        connection.receive(frames.publish(number, routing_key=b"secret"))
    assert [code for _, code, _ in connection.failed()] == [403, 403]


def test_routes_by_headers_are_remembered_by_them() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    one, two = frames.table({b"k": b"1"}), frames.table({b"k": b"2"})
    connection.routes[b"headers", b"", one] = Route([(0, 1, True)])
    connection.routes[b"headers", b"", two] = Route([(0, 2, True)])
    connection.routes[b"headers", b"", b""] = Route([(0, 3, True)])
    for _ in range(2):
        for table in (one, two, None, one):
            properties = frames.properties(headers=table)
            connection.receive(frames.publish(1, b"", properties, exchange=b"headers", routing_key=b""))
    assert [record.queues[0] for record in gateway.send()] == [1, 2, 3, 1] * 2
    assert connection.channels[1].asked == [(b"headers", b"", one), (b"headers", b"", two), (b"headers", b"", b"")]


def test_long_headers_are_routed_each_time() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    table = frames.table({b"k": b"v" * 1000})
    connection.routes[b"headers", b"", table] = Route([(0, 1, True)])
    message = frames.publish(1, b"", frames.properties(headers=table), exchange=b"headers", routing_key=b"")
    connection.receive(message * 3)
    assert len(connection.channels[1].asked) == 3 and len(gateway.send()) == 3


def test_ten_thousand_keys_are_asked_once_each() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    for i in range(10_000):
        connection.routes[b"%d" % i] = Route([(0, i, True)])
    for _ in range(2):
        for i in range(10_000):
            connection.receive(frames.publish(1, routing_key=b"%d" % i))
    assert [record.queues[0] for record in gateway.send()] == list(range(10_000)) * 2
    assert len(connection.channels[1].asked) == 10_000


def test_more_keys_than_are_remembered_still_route() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    count = ROUTES_PER_CHANNEL_MAX + 10
    routes = [Route([(0, i, True)]) for i in range(10)]
    for i in range(count):
        connection.routes[b"%d" % i] = routes[i % 10]
    for _ in range(2):
        for start in range(0, count, 1000):
            keys = range(start, min(start + 1000, count))
            connection.receive(b"".join(frames.publish(1, routing_key=b"%d" % i) for i in keys))
            assert [record.queues[0] for record in gateway.send()] == [i % 10 for i in keys]
    assert len(connection.channels[1].asked) > count, "the table has started over"


def test_keys_that_collide_are_routed_each_time_and_rightly() -> None:
    # A difference of the first word that the mixing turns into one of the second, whatever the seed: of n pairs of
    # words there are 2**n keys with the same hash.
    pairs = 10
    one, other = bytes(16), (1 << 63).to_bytes(8, "little") + (1 << 63 | 1 << 34).to_bytes(8, "little")
    keys = [b"".join(other if number >> bit & 1 else one for bit in range(pairs)) for number in range(1 << pairs)]
    gateway = Gateway()
    connection = Connection(gateway)
    for number, key in enumerate(keys):
        connection.routes[key] = Route([(0, number, True)])
    for _ in range(2):
        for key in keys:
            connection.receive(frames.publish(1, routing_key=key))
        assert [record.queues[0] for record in gateway.send()] == list(range(len(keys)))
    asked = len(connection.channels[1].asked)
    assert asked == 2 * len(keys) - PLACES_LOOKED_AT_MAX, "only so many of the same hash are remembered"


def test_a_route_hook_that_closes_the_channel_ends_the_publish() -> None:
    gateway = Gateway()
    connection = Connection(gateway)

    def close() -> Route:
        connection.channels[1].close()
        return Route([(0, 1, True)])

    connection.routes[b"closing"] = close
    connection.receive(frames.publish(1, b"in frames", routing_key=b"closing", cut=2))
    assert gateway.send() == [] and not connection.errors


def test_a_hook_that_returns_no_route_is_a_bug() -> None:
    connection = Connection(Gateway())
    connection.routes[b"odd"] = lambda: None
    with pytest.raises(TypeError):
        connection.receive(frames.publish(1, routing_key=b"odd"))


@pytest.mark.parametrize(
    ("expiration", "reason"),
    [
        (b"abc", "no_integer"),
        (b"", "no_integer"),
        (b"100a", '{leftover_string,"a"}'),
        (b"-1", "{value_negative,-1}"),
        (b"315360000001", "{value_too_big,315360000001}"),
    ],
)
def test_an_invalid_expiration_closes_the_channel(expiration: bytes, reason: str) -> None:
    connection = Connection(Gateway())
    connection.receive(frames.publish(1, b"x", frames.properties(expiration=expiration)))
    assert connection.failed() == [(1, 406, f"invalid expiration '{expiration.decode()}': {reason}")]
    error = connection.errors[0][1]
    assert (error.class_id, error.method_id) == (60, 40)


def test_an_expiration_of_0_is_kept() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.receive(frames.publish(1, b"x", frames.properties(expiration=b"0")) + frames.publish(1, b"y"))
    assert [record.ttl_ms for record in gateway.send()] == [0, records.NO_TTL]


def test_user_id_must_be_the_users_own_unless_it_impersonates() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 2)
    connection.user_id = b"guest"
    connection.receive(frames.publish(1, b"mine", frames.properties(user_id=b"guest")))
    connection.receive(frames.publish(1, b"not", frames.properties(user_id=b"other")))
    assert connection.failed() == [(1, 406, "user_id property set to 'other' but authenticated user was 'guest'")]
    connection.impersonator = True
    connection.receive(frames.publish(2, b"allowed", frames.properties(user_id=b"other")))
    assert [record.body for record in gateway.send()] == [b"mine", b"allowed"]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"CC": "k"}, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
        ({"a": {"CC": 1}, "BCC": 5}, 'invalid message: {unacceptable_type_in_header,"BCC",signedint}'),
        ({"BCC": 5, "CC": "k"}, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
    ],
)
def test_copies_must_be_arrays(headers: dict[str, object], text: str) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.receive(frames.publish(1, b"x", frames.properties(headers=encode_table({"CC": ["k"], "BCC": []}))))
    connection.receive(frames.publish(1, b"y", frames.properties(headers=encode_table(headers))))
    assert connection.failed() == [(1, 406, text)]
    assert [record.body for record in gateway.send()] == [b"x"]


def test_the_first_fault_in_rabbitmqs_order_is_told() -> None:
    """Size, then permission and existence, then expiration, then user-id."""
    gateway = Gateway(max_message_bytes=3)
    connection = Connection(gateway, 4)
    faults = frames.properties(expiration=b"x", user_id=b"other")
    connection.receive(frames.publish(1, b"long", faults, routing_key=b"missing"))
    connection.receive(frames.publish(2, b"ok", faults, routing_key=b"missing"))
    connection.receive(frames.publish(3, b"ok", faults))
    connection.receive(frames.publish(4, b"ok", frames.properties(user_id=b"other")))
    assert [text.split(" ")[0:2] for _, _, text in connection.failed()] == [
        ["message", "size"], ["no", "exchange"], ["invalid", "expiration"], ["user_id", "property"]]


def test_a_message_over_the_limit_is_refused_by_its_header_and_its_body_is_dropped() -> None:
    gateway = Gateway(max_message_bytes=10)
    connection = Connection(gateway, 2)
    connection.receive(frames.publish(1, b"x" * 11, cut=4) + frames.publish(2, b"x" * 10, cut=4))
    assert connection.failed() == [(1, 406, "message size 11 is larger than configured max size 10")]
    assert len(gateway.send()) == 1


def test_a_mandatory_message_without_a_queue_comes_back() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    properties = frames.properties(delivery_mode=2)
    connection.receive(
        frames.publish(1, b"body", properties, exchange=b"x", routing_key=b"nowhere", mandatory=True)
        + frames.publish(1, b"gone", routing_key=b"nowhere")
        + frames.publish(1, b"kept", mandatory=True)
    )
    assert connection.sees() == [frames.Sent(1, "return", (312, b"NO_ROUTE", b"x", b"nowhere"), properties, b"body")]
    assert [record.body for record in gateway.send()] == [b"kept"]


def test_a_returned_body_is_cut_at_frame_max() -> None:
    connection = Connection(Gateway())
    connection.frame_max = 4096
    body = bytes(10_000)
    connection.receive(frames.publish(1, body, routing_key=b"nowhere", mandatory=True, cut=4088))
    assert [sent.body for sent in connection.sees()] == [body]


def test_a_publish_to_a_dead_shard_waits_for_it_outside_confirm_mode_too() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    gateway.shard_down(0)
    connection.receive(frames.publish(1, b"kept", routing_key=b"both"))
    assert len(gateway.send(1)) == 1 and connection.sees() == [] and connection.held == [0]
    gateway.shard_up(0)
    assert [record.body for record in gateway.send(0)] == [b"kept"]


def test_a_publish_to_a_lost_shard_is_dropped_outside_confirm_mode() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    gateway.shard_down(0)
    gateway.shard_lost(0)
    connection.receive(frames.publish(1, b"lost", routing_key=b"both"))
    assert gateway.send(0) == [] and len(gateway.send(1)) == 1 and connection.sees() == [] and not connection.held


def test_a_batch_that_grows_large_is_sent_before_the_turn_ends() -> None:
    """Publishes, and transactions, whose size a link would refuse as one batch."""
    sent: list[tuple[int, int]] = []

    class Sending(Gateway):
        def send_outgoing(self, shard: int) -> None:
            sent.append((self.next_numbers[shard], len(self.send(shard))))

    gateway = Sending()
    confirming, transactional = Connection(gateway), Connection(gateway)
    confirming.channels[1].confirm_select()
    transactional.channels[1].tx_select()
    body = bytes(600_000)
    for _ in range(5):
        confirming.receive(frames.publish(1, body, cut=100_000))
        transactional.receive(frames.publish(1, body, cut=100_000))
    assert sent == [(1, 2), (2, 2)]
    assert transactional.channels[1].tx_commit() is False
    assert sent == [(1, 2), (2, 2), (3, 2), (4, 2)]
    assert len(gateway.send(0)) == 2
    gateway.on_batch(0, records.watermark(3))
    assert [(frame.name, *frame.fields) for frame in confirming.sees()] == [("ack", 5, True)]
    assert transactional.channels[1].committed == []
    gateway.on_batch(0, records.watermark(5))
    assert transactional.channels[1].committed == [True]


def test_a_channel_opened_in_a_hook_is_used_at_once() -> None:
    gateway = Gateway()
    connection = Connection(gateway, 0)
    connection.on_method_do = lambda connection, number, _: Channel(connection, number)
    connection.receive(frames.method(2000, 20, 10) + frames.publish(2000, b"x"))
    assert [record.body for record in gateway.send()] == [b"x"]
