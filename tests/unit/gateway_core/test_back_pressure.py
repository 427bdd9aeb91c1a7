"""Back-pressure: alarms stop before the next publish, congested links after the publish that went there."""
from gateway.core import PAUSE_HELD
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Connection, Gateway


def test_an_alarm_stops_before_the_next_publish_and_nothing_else() -> None:
    gateway = Gateway()
    publisher, other = Connection(gateway), Connection(gateway)
    gateway.publishes_blocked = True
    publisher.receive(frames.method(1, 50, 10) + frames.publish(1, b"held") + frames.method(1, 50, 20))
    other.receive(frames.method(1, 50, 10))
    assert publisher.held == [-1] and publisher.paused and publisher.has_published and gateway.send() == []
    assert len(publisher.methods) == 1 and len(other.methods) == 1
    assert not other.paused and not other.has_published
    publisher.resume(PAUSE_HELD)
    assert publisher.held == [-1, -1] and publisher.paused, "the alarm stands"
    gateway.publishes_blocked = False
    publisher.resume(PAUSE_HELD)
    assert [record.body for record in gateway.send()] == [b"held"] and len(publisher.methods) == 2


def test_a_congested_link_stops_its_own_publishers() -> None:
    gateway = Gateway()
    first, second = Connection(gateway), Connection(gateway)
    gateway.set_congested(0, True)
    first.receive(frames.publish(1, b"1", routing_key=b"both") + frames.publish(1, b"2"))
    second.receive(frames.publish(1, b"3", routing_key=b"r") * 2)
    assert first.held == [0] and first.paused and second.held == [] and not second.paused
    assert [record.body for record in gateway.send(0)] == [b"1"]
    gateway.set_congested(0, False)
    first.resume(PAUSE_HELD)
    assert [record.body for record in gateway.send(0)] == [b"2"] and not first.paused


def test_a_publish_in_pieces_is_held_after_its_last() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    gateway.set_congested(0, True)
    message = frames.publish(1, b"12345", cut=2)
    for octet in message:
        connection.receive(bytes([octet]))
    assert connection.held == [0] and len(gateway.send()) == 1
    gateway.shard_down(0)
    gateway.shard_up(0)
    connection.resume(PAUSE_HELD)
    connection.receive(message)
    assert connection.held == [0], "a restarted shard's link is not congested"


def test_an_alarm_stops_a_body_that_is_on_its_way() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    message = frames.publish(1, bytes(100), cut=10)
    connection.receive(message[:-50])
    gateway.publishes_blocked = True
    connection.receive(message[-50:])
    assert connection.held == [-1] and connection.paused and gateway.send() == []
    gateway.publishes_blocked = False
    connection.resume(PAUSE_HELD)
    assert [record.body for record in gateway.send()] == [bytes(100)]


def test_a_commit_to_a_congested_link_holds_too() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    channel = connection.channels[1]
    channel.tx_select()
    connection.on_method_do = lambda *_: channel.tx_commit()
    gateway.set_congested(0, True)
    connection.receive(frames.publish(1, b"x") + frames.method(1, 90, 20) + frames.method(1, 50, 10))
    assert connection.held == [0] and connection.paused and len(connection.methods) == 1


def test_publishers_to_a_flooded_queue_are_marked() -> None:
    gateway = Gateway()
    first, second = Connection(gateway), Connection(gateway)
    first.receive(frames.publish(1, b"1", routing_key=b"r"))
    (record,) = gateway.send(1)
    (queue_id,) = record.queues
    gateway.set_flooded(queue_id, True)
    gateway.set_flooded(queue_id, True)
    second.receive(frames.publish(1, b"2", routing_key=b"both"))
    first.receive(frames.publish(1, b"3", routing_key=b"r"))
    assert first.feeds_flood == queue_id and not first.paused
    gateway.set_flooded(queue_id, False)
    first.feeds_flood = 0
    first.receive(frames.publish(1, b"4", routing_key=b"r"))
    assert not first.feeds_flood
