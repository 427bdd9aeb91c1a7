"""Named loads, each of one step or two that share their queues. What each shows stands in bench/README.md."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bench.perf.load import Load

SMALL: Final = {"size": 100}
STEADY: Final = {"confirm": 1000, "prefetch": 500, "ack_every": 50}
DURABLE: Final = {"persistent": True, "durable": True}
POLLED: Final = 20_000
"""Messages that are fetched one by one: a second or several."""
PACED: Final = {"producers": 2, "consumers": 2, "queues": 2, "rate": 500.0, "confirm": 100}


@dataclass(frozen=True)
class Step:
    """Options of load.Load. A step by the clock has its seconds from the caller, one by the count its count."""

    options: dict[str, Any]
    name: str | None = None
    counted: bool = False


def _one(**options: Any) -> tuple[Step, ...]:
    return (Step({**SMALL, **options}),)


SCENARIOS: Final[dict[str, tuple[Step, ...]]] = {
    "transient": _one(auto_ack=True),
    "transient4": _one(auto_ack=True, producers=4, consumers=4, queues=4),
    "publish": _one(mode="publish", queue_arguments={"x-max-length": 1000}),
    "ack1": _one(confirm=200, prefetch=100),
    "confirm": _one(**STEADY),
    "persistent": _one(**DURABLE, **STEADY),
    "quorum": _one(**DURABLE, **STEADY, queue_type="quorum"),
    "fanout": _one(exchange_type="fanout", queues=8, consumers=8, confirm=100, auto_ack=True),
    "topic": _one(exchange_type="topic", routing_keys=64, queues=8, consumers=4, producers=4, confirm=250,
                  auto_ack=True),
    "many": _one(producers=100, consumers=100, queues=100, confirm=10, prefetch=20),
    "big": _one(size=65536, confirm=50, prefetch=50, ack_every=10),
    "big_1k": _one(size=1 << 10, **STEADY),
    "big_16k": _one(size=16 << 10, confirm=200, prefetch=200, ack_every=20),
    "big_4m": _one(size=4 << 20, confirm=5, prefetch=5),
    "latency": _one(**PACED),
    "latency_dur": _one(**PACED, **DURABLE),
    "backlog": (
        Step({**SMALL, **DURABLE, "mode": "publish", "confirm": 1000, "keep": True}, "fill", counted=True),
        Step({**SMALL, **DURABLE, "mode": "drain", "prefetch": 500, "ack_every": 50}, "drain"),
    ),
    "rpc_direct": _one(rpc="direct", auto_ack=True),
    "rpc_queue": _one(rpc="queue", auto_ack=True),
    "get": (
        Step({**SMALL, "mode": "publish", "confirm": 1000, "count": POLLED, "keep": True}, "fill"),
        Step({**SMALL, "mode": "drain", "polling": True}, "drain"),
    ),
    "get_empty": _one(polling=True, rate=10.0, confirm=1),
    "confirm1": _one(mode="publish", confirm=1),
    "confirm1_dur": _one(mode="publish", confirm=1, **DURABLE),
    "churn_connection": _one(mode="churn", churn="connection", producers=8),
    "churn_channel": _one(mode="churn", churn="channel", producers=8),
    "churn_queue": _one(mode="churn", churn="queue", producers=8),
    "churn_queue_durable": _one(mode="churn", churn="queue", producers=8, durable=True),
    "churn_declare": _one(mode="churn", churn="declare", producers=8),
    "churn_declare_durable": _one(mode="churn", churn="declare", producers=32, durable=True),
    "churn_binding": _one(mode="churn", churn="binding", producers=8),
    "churn_exchange": _one(mode="churn", churn="exchange", producers=8),
}
COUNT_DEFAULT: Final = 200_000
"""Messages of a step by the count."""


def loads(
    name: str, queue_prefix: str, *, seconds: float, warmup_s: float, count: int = COUNT_DEFAULT,
    changes: dict[str, Any] | None = None,
) -> list[tuple[str | None, Load]]:
    """The steps of a scenario by their names, as loads. `changes` go over the options of each."""
    made = []
    for step in SCENARIOS[name]:
        times: dict[str, Any] = {"seconds": seconds, "warmup_s": warmup_s}
        if step.counted:
            times = {"count": count}
        elif "count" in step.options:
            times = {}                                  # its own
        elif step.options.get("mode") == "drain" or step.options.get("churn") == "declare":
            times = {}                                  # until the queues are empty, or all are there
        made.append((step.name, Load(**{**step.options, **times, **(changes or {}), "queue_prefix": queue_prefix})))
    return made
