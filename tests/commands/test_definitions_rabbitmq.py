"""Definitions on their way from RabbitMQ to Warren and back: nothing changes but what is a broker's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import oracle
from tests.harness.client import Endpoint, connect
from tests.harness.definitions import PASSWORDS, comparable, everything
from tests.harness.oracle import RabbitMQ
from tests.harness.warren import Warren

pytestmark = [
    pytest.mark.skipif(oracle.installed() is None, reason="rabbitmq-server is not installed"),
    pytest.mark.timeout(oracle.TEST_TIMEOUT_S),
]


FORGET_ALL = """
[rabbit_vhost:delete(V, <<"test">>) || V <- rabbit_vhost:list_names()],
[rabbit_auth_backend_internal:delete_user(U, <<"test">>)
 || [{user, U} | _] <- rabbit_auth_backend_internal:list_users()].
"""


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node that has loaded something of everything."""
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), definitions=everything())
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def of_rabbitmq(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it exports."""
    file = tmp_path_factory.mktemp("export") / "rabbitmq.json"
    rabbitmq.ctl("export_definitions", str(file))
    return file


@pytest.fixture(scope="module")
def warren(of_rabbitmq: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """A broker that was started with RabbitMQ's export."""
    server = Warren(tmp_path_factory.mktemp("imported"), gateways=1, shards=2, load_definitions=of_rabbitmq)
    with server:
        yield server


def log_in_all(endpoint: Endpoint) -> None:
    for name, password in PASSWORDS.items():
        with connect(endpoint, user=name, password=password, vhost="shöp") as client:
            assert client.channel().count("q-full") == 0
            client.close()


def exported(warren: Warren, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(warren.command("export-definitions", "-", *arguments))
    return document


def test_what_rabbitmq_exports_comes_out_of_warren_as_it_went_in(warren: Warren, of_rabbitmq: Path) -> None:
    found = comparable(exported(warren))
    assert all(found.values())
    assert found == comparable(json.loads(of_rabbitmq.read_text()))


def test_users_log_in_with_their_passwords(warren: Warren) -> None:
    log_in_all(warren.endpoint)


def test_nothing_of_warrens_own_was_added(warren: Warren) -> None:
    assert {row["name"] for row in warren.listing("users")} == set(PASSWORDS)
    assert {row["name"] for row in warren.listing("vhosts")} == {"/", "shöp"}


def test_importing_the_same_again_changes_nothing(warren: Warren, of_rabbitmq: Path) -> None:
    assert warren.command("import-definitions", str(of_rabbitmq)) == "imported: nothing to change\n"


def test_rabbitmq_imports_what_warren_exports(warren: Warren, rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """What RabbitMQ has itself is taken away from it first, so that it is Warren's file that brings it back."""
    file, again = tmp_path / "warren.json", tmp_path / "again.json"
    warren.command("export-definitions", str(file))
    rabbitmq.ctl("eval", FORGET_ALL)
    rabbitmq.ctl("import_definitions", str(file))
    rabbitmq.ctl("export_definitions", str(again))
    assert comparable(json.loads(again.read_text())) == comparable(json.loads(file.read_text()))
    log_in_all(Endpoint(rabbitmq.host, rabbitmq.port))
