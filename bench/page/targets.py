"""What Warren is measured by: its goals, as numbers beside RabbitMQ 3.10.8's or for themselves.

For orientation each has what LavinMQ 2.9.1, the fastest of the other brokers, reaches on the same scale.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BASE: Final = "rabbitmq"
"""The broker whose figures are 1."""
SUBJECT: Final = "warren"
NAMES: Final = {BASE: "RabbitMQ's", SUBJECT: "Warren's"}


@dataclass(frozen=True)
class Goal:
    """Of a scenario: times RabbitMQ's figure."""

    scenario: str                           # with its step
    label: str
    rate: float                             # messages per second: at least
    rate_lavinmq: float
    cpu: float                              # broker's CPU time per message: at most
    cpu_lavinmq: float


GOALS: Final = (
    Goal("transient", "transient", 12, 5.5, 0.06, 0.10),
    Goal("publish", "publish only", 12, 5.5, 0.07, 0.12),
    Goal("ack1", "an ack for each message", 8, 3.4, 0.08, 0.14),
    Goal("confirm", "confirms", 10, 5, 0.07, 0.12),
    Goal("persistent", "persistent, synced before each confirm", 14, 8, 0.05, 0.07),
    Goal("quorum", "quorum queue, synced", 14, 9, 0.05, 0.075),
    Goal("fanout", "fanout to 8 queues", 7, 3, 0.10, 0.18),
    Goal("topic", "topic, 64 keys", 12, 5, 0.06, 0.10),
    Goal("many", "many: 100 producers, consumers, queues", 6, 2.7, 0.12, 0.22),
    Goal("big", "big: 64 KiB", 2.5, 0.3, 0.4, 3),
    Goal("backlog/fill", "backlog: fill, persistent", 25, 20, 0.03, 0.03),
    Goal("backlog/drain", "backlog: drain", 35, 30, 0.025, 0.03),
)
LATENCIES: Final = (("latency", "transient"), ("latency_dur", "persistent"))
"""At 1,000 messages a second: p50 and p99, end to end and of the confirm, are to be no higher than RabbitMQ's."""


@dataclass(frozen=True)
class ChurnGoal:
    """Cycles per second: at least."""

    scenario: str
    label: str
    rate: float


CHURN_GOALS: Final = (
    ChurnGoal("churn_connection", "connections, each with a channel, opened and closed", 2000),
    ChurnGoal("churn_declare", "transient queues declared", 3000),
    ChurnGoal("churn_declare_durable", "durable queues declared, 32 connections", 1000),
)
SIZES: Final = (
    ("big_1k", 1 << 10, "1 KiB"),
    ("big_16k", 16 << 10, "16 KiB"),
    ("big", 64 << 10, "64 KiB"),
    ("big_4m", 4 << 20, "4 MiB"),
)
"""Scenario, bytes of a body. Only `big` has a goal."""


@dataclass(frozen=True)
class Call:
    """Of those who wait for each answer before they go on; there is no goal for them."""

    scenario: str                           # with its step
    label: str


CALLS: Final = (
    Call("rpc_direct", "request and reply, direct reply-to"),
    Call("rpc_queue", "request and reply, a reply queue for each client"),
    Call("get/drain", "basic.get that finds a message, acknowledged"),
    Call("get_empty", "basic.get of an empty queue"),
    Call("confirm1", "publish and wait for the confirm, transient"),
    Call("confirm1_dur", "publish and wait for the confirm, persistent"),
)
