"""The headers CC, BCC, x-delay and x-deliver-at: the routing keys, what is kept of a message, when it is ready."""
import struct
from typing import Any

import pytest

from amqp091.tables import decode_table, encode_table
from amqp091.values import Binary, Timestamp
from gateway.core import Route
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import NOW_MS, Connection, Gateway

DELAY_MS_MAX = 2**32 - 1
YEAR_10000_S = 253_402_300_800
Q = (0, 10, 1)
LATE = (0, 11, 1)


class Publisher(Connection):
    """A connection that routes every publish alike; late ones to LATE as well."""

    def __init__(self, *, delayed: bool = True) -> None:
        super().__init__(Gateway())
        self.keys: list[tuple[bytes, ...]] = []
        self.ways = self.way
        self.delays = delayed

    def way(self, exchange: bytes, keys: tuple[bytes, ...], headers: Any, has_delay: bool, path: Any) -> Route:
        self.keys.append(keys)
        return Route([Q], delayed=[LATE]) if has_delay and self.delays else Route([Q])

    def publish(self, headers: dict[str, Any] | bytes, **options: Any) -> list[records.Published]:
        """The records that came of it."""
        table = headers if isinstance(headers, bytes) else encode_table(headers)
        properties = frames.properties(headers=table, **options.pop("properties", {}))
        self.receive(frames.publish(1, b"body", properties, exchange=b"x", routing_key=b"k", **options))
        found = self.gateway.send()     # type: ignore[attr-defined]
        assert isinstance(found, list)
        return found


def headers_of(record: records.Published) -> dict[str, Any]:
    (n,) = struct.unpack_from(">I", record.properties, 2)
    return decode_table(record.properties[2 : 6 + n])


def table(*fields: bytes) -> bytes:
    body = b"".join(fields)
    return struct.pack(">I", len(body)) + body


def field(name: bytes, letter: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + letter + value


def long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


# copies


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({}, [b"k"]),
        ({"CC": []}, [b"k"]),
        ({"CC": ["a", "b"]}, [b"k", b"a", b"b"]),
        ({"BCC": ["a"], "CC": ["b"]}, [b"k", b"b", b"a"]),
        ({"CC": ["k", "a", "a"], "BCC": ["a", "c"]}, [b"k", b"a", b"c"]),
        ({"CC": [1, "a", True, None, ["b"], {"CC": ["c"]}, Binary(b"x"), "\xfc", b"\xff"]},
         [b"k", b"a", "\xfc".encode(), b"\xff"]),
        ({"cc": ["a"], "Bcc": ["b"], "CCC": ["c"], "inside": {"CC": ["d"]}}, [b"k"]),
        ({"CC": [""]}, [b"k", b""]),
        ({"CC": ["x" * 300]}, [b"k", b"x" * 300]),
    ],
)
def test_the_routing_keys_of_a_message(headers: dict[str, Any], keys: list[bytes]) -> None:
    publisher = Publisher()
    (record,) = publisher.publish(headers)
    assert publisher.keys == [tuple(keys)]
    assert record.routing_key == b"k" and record.body == b"body"


def test_of_two_headers_of_one_name_the_first_counts() -> None:
    publisher = Publisher()
    publisher.publish(table(field(b"CC", b"A", long(b"S" + long(b"a"))), field(b"CC", b"A", long(b"S" + long(b"b")))))
    publisher.publish(table(field(b"CC", b"A", long(b"")), field(b"CC", b"I", bytes(4))))
    assert publisher.keys == [(b"k", b"a"), (b"k",)] and not publisher.errors


def test_bcc_is_taken_out_and_everything_else_is_kept_as_it_came() -> None:
    publisher = Publisher()
    fields = [
        field(b"a", b"b", b"\xff"), field(b"BCC", b"A", long(b"S" + long(b"q2"))), field(b"CC", b"A", long(b"")),
        field(b"z", b"x", long(b"\x00")),
    ]
    options = {"delivery_mode": 2, "priority": 3, "reply_to": b"r", "expiration": b"7", "user_id": b""}
    (record,) = publisher.publish(table(*fields), properties=options)
    assert record.properties == frames.properties(headers=table(fields[0], *fields[2:]), **options)
    assert (record.priority, record.ttl_ms, record.flags) == (3, 7, records.PERSISTENT)


def test_a_bcc_alone_leaves_an_empty_table_and_none_of_two_stays() -> None:
    publisher = Publisher()
    bcc = field(b"BCC", b"A", long(b"S" + long(b"a")))
    for sent in (table(bcc), table(bcc, bcc)):
        (record,) = publisher.publish(sent)
        assert record.properties == frames.properties(headers=table())


def test_what_comes_back_has_lost_its_bcc_too() -> None:
    publisher = Publisher()
    publisher.ways = lambda *_: Route([])
    publisher.publish({"CC": ["a"], "BCC": ["b"], "h": 1}, mandatory=True)
    (returned,) = publisher.sees()
    assert returned.properties == frames.properties(headers=encode_table({"CC": ["a"], "h": 1}))


def test_routes_are_remembered_by_their_copies() -> None:
    publisher = Publisher()
    sent: list[dict[str, Any]] = [
        {"CC": ["a"]}, {"BCC": ["a"]}, {"CC": ["a"], "BCC": ["a"]}, {"CC": ["a", "b"]}, {"CC": ["b", "a"]}, {},
        {"CC": ["a"], "other": 1},
    ]
    for headers in sent * 3:
        publisher.publish(headers)
    keys = [
        (b"k", b"a"), (b"k", b"a"), (b"k", b"a"), (b"k", b"a", b"b"), (b"k", b"b", b"a"), (b"k",),
    ]
    assert publisher.keys == keys


def test_long_copies_are_routed_each_time() -> None:
    publisher = Publisher()
    for _ in range(3):
        publisher.publish({"CC": ["a" * 200, "b" * 200], "BCC": ["c" * 200]})
    assert len(publisher.keys) == 3


def test_routes_by_headers_know_copies_too() -> None:
    """Also those that are taken out before the headers are matched."""
    gateway = Gateway()
    connection = Connection(gateway)
    asked: list[Any] = []

    def way(exchange: bytes, keys: tuple[bytes, ...], headers: bytes, has_delay: bool, path: Any) -> Route:
        asked.append((keys, decode_table(headers)))
        return Route([Q])

    connection.ways = way
    for _ in range(2):
        for bcc in ("a", "b"):
            properties = frames.properties(headers=encode_table({"BCC": [bcc], "h": 1}))
            connection.receive(frames.publish(1, b"", properties, exchange=b"headers"))
    assert asked == [((b"q", b"a"), {"h": 1}), ((b"q", b"b"), {"h": 1})]


def test_a_fault_in_copies_is_told_after_those_of_the_exchange() -> None:
    connection = Connection(Gateway(), 2)
    bad = frames.properties(headers=encode_table({"CC": "k"}), expiration=b"x")
    connection.receive(frames.publish(1, b"", bad, routing_key=b"missing"))
    connection.receive(frames.publish(2, b"", bad))
    assert [text.split()[0] for _, _, text in connection.failed()] == ["no", "invalid"]
    assert "expiration" in connection.failed()[1][2]


# x-delay


@pytest.mark.parametrize(
    ("value", "delay_ms"),
    [
        (1, 1), (1000, 1000), (DELAY_MS_MAX, DELAY_MS_MAX), ("250", 250), ("+250", 250), (Binary(b"250"), 250),
        (b"\xff", None), (1.9, 1), (4294967295.9, DELAY_MS_MAX),
        (0, None), (-5, None), (DELAY_MS_MAX + 1, None), (2**63 - 1, None), (0.9, None), (-1.5, None),
        (4294967296.0, None), (float("nan"), None), (float("inf"), None), ("", None), ("1.5", None), ("-3", None),
        ("1 ", None), ("9" * 40, None), (True, None), (None, None), ([5], None), ({"x": 5}, None), (Timestamp(5), None),
    ],
)
def test_what_delays(value: Any, delay_ms: int | None) -> None:
    publisher = Publisher()
    first, *rest = publisher.publish({"a": 1, "x-delay": value})
    assert first.queues == (10,) and first.not_before_ms is None and first.flags == 0
    if delay_ms is None:
        assert not rest
        return
    (late,) = rest
    assert late.queues == (11,) and late.flags == records.DELAYED
    assert late.not_before_ms == NOW_MS + delay_ms
    assert headers_of(late) == {"a": 1, "x-delay": -delay_ms} and late.body == b"body"
    assert repr(headers_of(first)["x-delay"]) == repr(value)


@pytest.mark.parametrize(
    ("letter", "value"),
    [(b"b", b"\x64"), (b"B", b"\xc8"), (b"s", b"\1\0"), (b"u", b"\xff\0"), (b"I", b"\0\0\1\0"), (b"i", b"\xff\0\0\0"),
     (b"l", bytes(6) + b"\1\0"), (b"L", bytes(6) + b"\1\0"), (b"f", struct.pack(">f", 7.5))],
)
def test_numbers_of_every_width_delay(letter: bytes, value: bytes) -> None:
    sent = table(field(b"x-delay", letter, value))
    expected = int(decode_table(sent)["x-delay"])
    _, late = Publisher().publish(sent)
    assert late.not_before_ms == NOW_MS + expected
    assert late.properties == frames.properties(headers=table(field(b"x-delay", b"l", struct.pack(">q", -expected))))


def test_a_delay_matters_behind_delayed_exchanges_alone() -> None:
    publisher = Publisher(delayed=False)
    (record,) = publisher.publish({"x-delay": 5})
    assert record.not_before_ms is None and headers_of(record) == {"x-delay": 5}


def test_routes_are_remembered_apart_for_messages_with_a_delay() -> None:
    publisher = Publisher()
    counts = [len(publisher.publish({"x-delay": delay})) for delay in (5, 0, 7, -1, 5)]
    assert counts == [2, 1, 2, 1, 2] and len(publisher.keys) == 2


def test_a_delayed_message_keeps_the_rest_of_its_properties() -> None:
    publisher = Publisher()
    publisher.user_id = b"guest"
    options = {"delivery_mode": 2, "priority": 9, "reply_to": b"r", "expiration": b"5", "user_id": b"guest"}
    _, late = publisher.publish({"x-delay": 3, "BCC": ["b"], "CC": ["c"]}, properties=options)
    kept = table(encode_table({"CC": ["c"]})[4:], field(b"x-delay", b"l", struct.pack(">q", -3)))
    assert late.properties == frames.properties(headers=kept, **options)
    assert (late.priority, late.ttl_ms, late.flags) == (9, 5, records.PERSISTENT | records.DELAYED)
    assert publisher.keys == [(b"k", b"c", b"b")]


def test_delays_and_replies_go_together() -> None:
    """The reply-to of both copies is the name of the channel's own reply queue."""
    publisher = Publisher()
    publisher.channels[1].reply_to = b"amq.rabbitmq.reply-to.me"
    now, late = publisher.publish({"x-delay": 3}, properties={"reply_to": b"amq.rabbitmq.reply-to"})
    assert all(record.properties.endswith(b"\x18amq.rabbitmq.reply-to.me") for record in (now, late))
    assert headers_of(late) == {"x-delay": -3}


def test_a_foreign_user_id_is_refused_with_copies_and_delays_too() -> None:
    publisher = Publisher()
    publisher.user_id = b"guest"
    assert publisher.publish({"x-delay": 3, "BCC": ["b"]}, properties={"user_id": b"other"}) == []
    assert publisher.failed() == [(1, 406, "user_id property set to 'other' but authenticated user was 'guest'")]


def test_a_mandatory_message_that_has_only_delayed_queues_is_returned_as_it_came() -> None:
    publisher = Publisher()
    publisher.ways = lambda *_: Route([], True, delayed=[LATE])
    (late,) = publisher.publish({"x-delay": 3}, mandatory=True)
    (returned,) = publisher.sees()
    assert returned.name == "return" and late.not_before_ms == NOW_MS + 3
    assert returned.properties == frames.properties(headers=encode_table({"x-delay": 3}))


# x-deliver-at


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        (Timestamp(NOW_MS // 1000 + 5), NOW_MS + 5000), (NOW_MS + 1, NOW_MS + 1),
        (Timestamp(YEAR_10000_S - 1), YEAR_10000_S * 1000 - 1000), (YEAR_10000_S * 1000 - 1, YEAR_10000_S * 1000 - 1),
        (NOW_MS, None), (NOW_MS - 1, None), (Timestamp(0), None), (0, None), (-1, None), (-(2**63), None),
    ],
)
def test_a_message_is_not_ready_before_its_time(value: Any, at_ms: int | None) -> None:
    (record,) = Publisher().publish({"x-deliver-at": value})
    assert record.not_before_ms == at_ms
    assert record.flags == (0 if at_ms is None else records.DELAYED)
    assert headers_of(record) == {"x-deliver-at": value}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("2026-01-01", "expected a timestamp or an integer (milliseconds since 1970), got longstr"),
        (1.5, "expected a timestamp or an integer (milliseconds since 1970), got double"),
        (None, "expected a timestamp or an integer (milliseconds since 1970), got void"),
        (True, "expected a timestamp or an integer (milliseconds since 1970), got bool"),
        ([1], "expected a timestamp or an integer (milliseconds since 1970), got array"),
        (Timestamp(YEAR_10000_S), f"{YEAR_10000_S} lies beyond the year 9999"),
        (Timestamp(NOW_MS), f"{NOW_MS} lies beyond the year 9999"),
        (Timestamp(2**64 - 1), f"{2**64 - 1} lies beyond the year 9999"),
        (YEAR_10000_S * 1000, f"{YEAR_10000_S * 1000} lies beyond the year 9999"),
    ],
)
def test_what_is_no_time_is_refused(value: Any, fault: str) -> None:
    publisher = Publisher()
    assert publisher.publish({"x-deliver-at": value, "BCC": ["q"]}) == []
    assert publisher.failed() == [(1, 406, f"invalid header 'x-deliver-at': {fault}")]


@pytest.mark.parametrize(("at", "now_ms", "late_ms"), [(100, 100, 500), (900, 900, 900), (-100, None, 500)])
def test_of_two_times_the_later_counts(at: int, now_ms: int | None, late_ms: int) -> None:
    now, late = Publisher().publish({"x-delay": 500, "x-deliver-at": NOW_MS + at})
    assert now.not_before_ms == (None if now_ms is None else NOW_MS + now_ms)
    assert late.not_before_ms == NOW_MS + late_ms


# confirms, transactions, levels


def test_both_records_of_a_publish_answer_for_its_confirm() -> None:
    publisher = Publisher()
    gateway = publisher.gateway
    assert isinstance(gateway, Gateway)
    publisher.channels[1].confirm_select()
    now, late = publisher.publish({"x-delay": 5}, properties={"delivery_mode": 2})
    assert now.publish_sequence == late.publish_sequence == 1
    gateway.on_batch(0, records.watermark(1, 0))
    assert publisher.sees() == []
    gateway.on_batch(0, records.watermark(1, 1))
    assert [(sent.name, *sent.fields) for sent in publisher.sees()] == [("ack", 1, False)]


def test_a_transaction_holds_copies_and_delays() -> None:
    """The time of a message is counted from its publish, and holds when it is committed."""
    publisher = Publisher()
    gateway = publisher.gateway
    assert isinstance(gateway, Gateway)
    channel = publisher.channels[1]
    channel.tx_select()
    assert publisher.publish({"x-delay": 500, "BCC": ["b"]}) == []
    assert publisher.publish({"x-deliver-at": NOW_MS + 7}) == []
    gateway.now_ms += 100
    assert not channel.tx_commit()
    now, late, timed = gateway.send()
    assert (now.not_before_ms, late.not_before_ms, timed.not_before_ms) == (None, NOW_MS + 500, NOW_MS + 7)
    assert headers_of(now) == {"x-delay": 500} and headers_of(late) == {"x-delay": -500}
    assert [record.publish_sequence for record in (now, late, timed)] == [1, 1, 2]
    assert [record.flags for record in (now, late, timed)] == [
        records.CONFIRM, records.CONFIRM | records.DELAYED, records.CONFIRM | records.DELAYED]
    gateway.on_batch(0, records.watermark(1, 1))
    assert channel.committed == [True]
    publisher.publish({"x-delay": 5})
    channel.tx_rollback()
    assert gateway.send() == []


@pytest.mark.parametrize(
    ("targets", "persistent", "waits"),
    [
        ([(0, 1, 0)], True, False),
        ([(0, 1, 1)], False, False),
        ([(0, 1, 1)], True, True),
        ([(0, 1, 2)], False, True),
        ([(0, 1, 0), (0, 2, 2), (0, 3, 1)], False, True),
        ([(0, 1, 0), (0, 2, 1)], False, False),
    ],
)
@pytest.mark.parametrize("mode", ["confirm", "tx"])
def test_queues_that_keep_all_have_transient_messages_confirmed_from_the_disk(
    targets: list[tuple[int, int, int]], persistent: bool, waits: bool, mode: str
) -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.routes[b"q"] = Route(targets)
    channel = connection.channels[1]
    channel.confirm_select() if mode == "confirm" else channel.tx_select()
    connection.receive(frames.publish(1, b"m", frames.properties(delivery_mode=2 if persistent else 1)))
    if mode == "tx":
        assert not channel.tx_commit()
    gateway.send()
    gateway.on_batch(0, records.watermark(1, 0))
    done = bool(connection.sees()) or channel.committed == [True]
    assert done is not waits
    gateway.on_batch(0, records.watermark(1, 1))
    assert done or connection.sees() or channel.committed == [True]


def test_a_route_that_makes_no_sense() -> None:
    for targets in ([(0, 1, 3)], [(0, 1, -1)], [(5000, 1, 1)], [(0, 2**32, 1)], [(-1, 1, 1)]):
        with pytest.raises(ValueError):
            Route(targets)
        with pytest.raises(ValueError):
            Route([], delayed=targets)
