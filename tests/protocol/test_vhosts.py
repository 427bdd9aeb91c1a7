"""Virtual hosts know nothing of one another."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import Names
from tests.harness.accounts import OTHER_VHOST
from tests.harness.client import Client
from tests.harness.methods import Exchange, Queue

OpenClient = Callable[..., Client]


def test_queues_of_the_same_name_are_different_queues(open_client: OpenClient, names: Names) -> None:
    here, there = open_client().channel(), open_client(vhost=OTHER_VHOST).channel()
    here.declare(names())
    there.declare(names(), exclusive=True, durable=True)
    here.publish("", names(), b"here")
    there.publish("", names(), b"there")
    assert there.get_all(names()) == [b"there"]
    assert here.get_all(names()) == [b"here"]


def test_bindings_do_not_cross(open_client: OpenClient, names: Names) -> None:
    here, there = open_client().channel(), open_client(vhost=OTHER_VHOST).channel()
    here_queue, there_queue = here.exclusive_queue(), there.exclusive_queue()
    here.bind(here_queue, "amq.fanout")
    there.bind(there_queue, "amq.fanout")
    here.confirm()
    here.publish("amq.fanout", "", b"here")
    here.wait_confirms(1)
    assert here.get_all(here_queue) == [b"here"]
    assert there.get_all(there_queue) == []


def test_names_of_another_virtual_host_are_not_found(open_client: OpenClient, names: Names) -> None:
    here, there = open_client().channel(), open_client(vhost=OTHER_VHOST).channel()
    here.declare(names("q"))
    here.declare_exchange(names("e"))
    there.send(Queue.Declare(queue=names("q"), passive=True))
    there.expect_error(404, f"no queue '{names('q')}' in vhost '{OTHER_VHOST}'")
    there = there.client.channel(1)
    there.send(Exchange.Declare(exchange=names("e"), passive=True))
    there.expect_error(404, f"no exchange '{names('e')}' in vhost '{OTHER_VHOST}'")


def test_each_has_the_predeclared_exchanges(open_client: OpenClient) -> None:
    there = open_client(vhost=OTHER_VHOST).channel()
    for name in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"):
        there.declare_exchange(name, passive=True)
