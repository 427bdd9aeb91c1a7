"""Brokers of their own for tests that kill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.load import Worker
from tests.harness.warren import Warren


@pytest.fixture
def make_warren(tmp_path: Path) -> Iterator[Callable[..., Warren]]:
    """Makes brokers with settings of the test's choice; they are stopped with the test."""
    made: list[Warren] = []

    def make(**options: object) -> Warren:
        server = Warren(tmp_path / f"warren-{len(made)}", **options)
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.kill_all()


@pytest.fixture
def warren(make_warren: Callable[..., Warren]) -> Warren:
    """A broker with two gateways and two shards."""
    return make_warren()


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    """A test that failed must not leave its load to the next one."""
    yield
    for worker in list(Worker.running):
        worker.stopping.set()
        worker.client.drop()
    Worker.running.clear()
