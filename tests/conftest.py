"""Brokers under test, shared by all layers that look from outside.

``--brokers warren|rabbitmq|both`` chooses what the protocol tests run against. The default, ``marked``, runs everything
on Warren and, where RabbitMQ is installed, also the tests marked ``oracle``: behaviour that is doubtful enough to be
compared in every run. ``TEST_RABBITMQ=host:port`` uses a RabbitMQ that is already running (with the accounts of
harness/accounts.py).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import oracle
from tests.harness.channel import ChannelClient
from tests.harness.client import Client, Endpoint, connect
from tests.harness.methods import Channel, Exchange, Queue
from tests.harness.policies import Policies
from tests.harness.warren import Warren

WARREN = "warren"
RABBITMQ = "rabbitmq"
ORACLE_RERUNS = 2
"""RabbitMQ orders nothing between channels, so a rule of its may need a second look to be seen. Warren gets none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--brokers", choices=("marked", WARREN, RABBITMQ, "both"), default="marked")
    parser.addoption(
        "--link",
        choices=("shared-memory", "zeromq"),
        default="shared-memory",
        help="kind of link between the processes of the session's broker",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracle: doubtful behaviour, also compared with RabbitMQ in every run")
    config.addinivalue_line(
        "markers", "warren_only(reason): Warren differs from RabbitMQ 3.10 here, or the test needs Warren"
    )
    config.addinivalue_line("markers", "rabbitmq_only(reason): what RabbitMQ 3.10 does and Warren does not")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of the brokers' logs with a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in Warren.running:
            report.sections.append((f"log of {server.directory.name}", server.log_tail()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker" not in metafunc.fixturenames:
        return
    choice = metafunc.config.getoption("--brokers")
    markers = {marker.name for marker in metafunc.definition.iter_markers()}
    brokers = [WARREN] if choice in ("marked", WARREN, "both") else []
    if choice in (RABBITMQ, "both") or (choice == "marked" and "oracle" in markers):
        brokers.append(RABBITMQ)
    if "warren_only" in markers:
        brokers = [name for name in brokers if name == WARREN]
    if "rabbitmq_only" in markers:
        brokers = [name for name in brokers if name == RABBITMQ]
    metafunc.parametrize("broker", brokers, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("broker") == RABBITMQ:
            item.add_marker(pytest.mark.flaky(reruns=ORACLE_RERUNS))
            item.add_marker(pytest.mark.timeout(oracle.TEST_TIMEOUT_S))


@pytest.fixture(scope="session")
def warren_session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """The one Warren of the session: two gateways and two shards, so that everything crosses processes."""
    link = request.config.getoption("--link")
    with Warren(tmp_path_factory.mktemp("warren"), gateways=2, shards=2, link=link) as server:
        server.create_accounts()
        yield server


@pytest.fixture(scope="session")
def oracle_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The one RabbitMQ of the session."""
    running = os.environ.get("TEST_RABBITMQ")
    if running:
        host, _, port = running.partition(":")
        yield Endpoint(host, int(port), RABBITMQ)
        return
    if oracle.installed() is None:
        pytest.skip("rabbitmq-server is not installed")
    node = oracle.RabbitMQ(tmp_path_factory.mktemp("oracle"))
    try:
        node.start()
        yield Endpoint(node.host, node.port, RABBITMQ)
    finally:
        node.stop()


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Endpoint:
    """Where the broker under test listens."""
    if request.param == RABBITMQ:
        endpoint: Endpoint = request.getfixturevalue("oracle_session")
        return endpoint
    server: Warren = request.getfixturevalue("warren_session")
    return server.endpoint


@pytest.fixture
def open_client(broker: Endpoint) -> Iterator[Callable[..., Client]]:
    """Opens clients that are dropped when the test ends."""
    clients: list[Client] = []

    def open_one(**options: object) -> Client:
        client = connect(broker, **options)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.drop()


@pytest.fixture
def raw_client(broker: Endpoint) -> Iterator[Callable[[], Client]]:
    """Opens TCP connections on which nothing has been said."""
    clients: list[Client] = []

    def open_one() -> Client:
        client = Client(broker)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.drop()


@pytest.fixture
def client(open_client: Callable[..., Client]) -> Client:
    """One connection of guest to the virtual host "/"."""
    return open_client()


@pytest.fixture
def channel(client: Client) -> ChannelClient:
    """Channel 1 of `client`."""
    return client.channel(1)


_serial = itertools.count(1)


class Names:
    """Names for queues and exchanges that no other test uses; what bears them is deleted when the test ends."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.used: list[str] = []

    def __call__(self, name: str = "x") -> str:
        full = f"{self.prefix}-{name}"
        if full not in self.used:
            self.used.append(full)
        return full


@pytest.fixture
def names(broker: Endpoint) -> Iterator[Names]:
    """See Names."""
    made = Names(f"t{os.getpid()}-{next(_serial)}")
    yield made
    if made.used:
        with connect(broker) as sweeper:
            for name in made.used:
                sweep(sweeper, Queue.Delete(queue=name), Queue.DeleteOk)
                sweep(sweeper, Exchange.Delete(exchange=name), Exchange.DeleteOk)
            sweeper.close()


@pytest.fixture
def policies(broker: Endpoint, request: pytest.FixtureRequest) -> Iterator[Policies]:
    """Sets policies on the broker under test; they are cleared when the test ends."""
    if broker.broker == WARREN:
        server: Warren = request.getfixturevalue("warren_session")
        made = Policies(broker, server.command)
    elif broker.port in oracle.RabbitMQ.running:
        made = Policies(broker, oracle.RabbitMQ.running[broker.port].ctl)
    else:
        pytest.skip("rabbitmqctl cannot reach a RabbitMQ of another process")
    yield made
    made.clear_all()


def sweep(sweeper: Client, method: Any, kind: Any) -> None:
    """Delete; a queue that is exclusive to a connection which is about to end is not ours to delete."""
    answer = sweeper.channel().call(method, (kind, Channel.Close))
    if isinstance(answer, Channel.Close):
        assert answer.reply_code == 405, answer
        sweeper.send(1, Channel.CloseOk())
    else:
        sweeper.call(1, Channel.Close(200, "", 0, 0), Channel.CloseOk)


@pytest.fixture(scope="session")
def _bystanders() -> Iterator[dict[Endpoint, ChannelClient]]:
    made: dict[Endpoint, ChannelClient] = {}
    yield made
    for channel in made.values():
        channel.client.drop()


@pytest.fixture
def bystander(broker: Endpoint, _bystanders: dict[Endpoint, ChannelClient]) -> Iterator[ChannelClient]:
    """A client of long standing, whose messages must keep flowing whatever the test does to the broker."""
    if broker not in _bystanders:
        channel = connect(broker).channel()
        channel.declare("bystander", exclusive=True)
        _bystanders[broker] = channel
    channel = _bystanders[broker]
    yield channel
    channel.publish("", "bystander", b"still here")
    message = channel.get("bystander", no_ack=True)
    assert message is not None and message.body == b"still here"
