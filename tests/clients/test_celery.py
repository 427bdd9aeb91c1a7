"""A small Celery application: a real worker process, results over rpc://, retries, ETA, chains, inspection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import chain, group

from tests.harness.client import Endpoint
from tests.harness.warren import environment

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30


@pytest.fixture(scope="module")
def celery(broker: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The application's module, with a worker of two processes running."""
    url = f"amqp://guest:guest@{broker.host}:{broker.port}//"
    queue = f"celery-{os.getpid()}-{broker.broker}"
    variables = {"CELERY_TEST_BROKER": url, "CELERY_TEST_QUEUE": queue, "PYTHONPATH": str(ROOT)}
    log = tmp_path_factory.mktemp("celery") / "worker.log"
    with open(log, "wb") as output:
        worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "tests.clients.celery_application",
                "worker",
                "--concurrency",
                "2",
                "--loglevel",
                "INFO",
                "-n",
                f"worker-{os.getpid()}-{broker.broker}@localhost",
            ],
            cwd=ROOT,
            env=environment(**variables),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.environ.update(variables)
    for name in [name for name in sys.modules if name == "tests.clients.celery_application"]:
        del sys.modules[name]
    from tests.clients import celery_application as application

    application.app.conf.broker_url = url
    application.app.conf.task_default_queue = queue
    try:
        deadline = time.monotonic() + WAIT_S
        while b" ready." not in log.read_bytes():
            assert worker.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield application
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        application.app.close()
        print(log.read_text()[-3000:])


def test_tasks_and_results(celery: Any) -> None:
    results = [celery.add.delay(n, n) for n in range(30)]
    assert [one.get(timeout=WAIT_S) for one in results] == [2 * n for n in range(30)]


def test_a_failing_task_tells_its_error(celery: Any) -> None:
    with pytest.raises(ValueError, match="no"):
        celery.fail.delay().get(timeout=WAIT_S)


def test_retries_with_a_countdown(celery: Any) -> None:
    assert celery.flaky.delay(2).get(timeout=WAIT_S) == 2


def test_tasks_with_an_eta_do_not_block_others(celery: Any) -> None:
    """The worker holds ETA tasks unacked and raises its prefetch for them."""
    later = [celery.add.apply_async((n, 1), eta=datetime.now(UTC) + timedelta(seconds=1.5)) for n in range(12)]
    now = [celery.add.delay(n, 2) for n in range(12)]
    assert [one.get(timeout=WAIT_S) for one in now] == [n + 2 for n in range(12)]
    assert [one.get(timeout=WAIT_S) for one in later] == [n + 1 for n in range(12)]


def test_chains_and_groups(celery: Any) -> None:
    assert chain(celery.add.s(1, 2), celery.add.s(10), celery.add.s(100))().get(timeout=WAIT_S) == 113
    assert group(celery.add.s(n, n) for n in range(5))().get(timeout=WAIT_S) == [0, 2, 4, 6, 8]


def test_workers_answer_to_inspection(celery: Any) -> None:
    """pidbox: a fanout exchange and reply queues."""
    answers = celery.app.control.ping(timeout=10, limit=1)
    assert answers and all(answer == {"ok": "pong"} for one in answers for answer in one.values())
