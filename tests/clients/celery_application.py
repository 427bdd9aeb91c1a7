"""The small Celery application of the tests; its broker is named by the environment."""

from __future__ import annotations

import os

from celery import Celery, Task

app = Celery("tests", broker=os.environ.get("CELERY_TEST_BROKER", "amqp://"), backend="rpc://")
app.conf.update(
    task_default_queue=os.environ.get("CELERY_TEST_QUEUE", "celery-tests"),
    task_acks_late=True,
    worker_prefetch_multiplier=2,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=20,
    task_track_started=True,
    result_expires=60,
    worker_hijack_root_logger=False,
)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self: Task, succeed_at: int) -> int:
    if self.request.retries < succeed_at:
        raise self.retry(countdown=0.05)
    return int(self.request.retries)


@app.task
def fail() -> None:
    raise ValueError("no")
