"""What a queue does beyond keeping messages in order: its arguments (and policies) as values that a shard works with.

Values only, checked before: `topology/arguments.py` has refused what an argument does not take. A queue without any of
them has PLAIN, and costs a shard nothing more than before.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from topology.arguments import (
    CONSUMER_TIMEOUT,
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    DELIVERY_LIMIT,
    DELIVERY_LIMIT_DEFAULT,
    MAX_AGE,
    QUORUM,
    SINGLE_ACTIVE_CONSUMER,
    STREAM,
    UNLIMITED_DELIVERIES,
    queue_type_of,
)
from topology.backoff import Backoff, backoff_of
from topology.deduplication import Deduplication, deduplication_of
from topology.durations import age_ms

DROP_HEAD: Final = "drop-head"


@dataclass(frozen=True, slots=True)
class QueueFeatures:
    """None, or an empty value, is "does not do it". Times in milliseconds."""

    queue_type: str = "classic"
    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = DROP_HEAD
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_priority: int | None = None
    single_active_consumer: bool = False
    delivery_limit: int | None = None
    consumer_timeout_ms: int | None = None
    backoff: Backoff | None = None
    deduplication: Deduplication | None = None
    max_age_ms: int | None = None

    @property
    def keeps_all(self) -> bool:
        """Every message goes to the disk, whatever its delivery mode: quorum queues and streams."""
        return self.queue_type in (QUORUM, STREAM)


PLAIN: Final = QueueFeatures()


def features_of(arguments: Mapping[str, Any]) -> QueueFeatures:
    """The features that the arguments of a queue ask for; an argument that nobody knows is ignored."""
    queue_type = queue_type_of(arguments)
    delivery_limit = arguments.get(DELIVERY_LIMIT, DELIVERY_LIMIT_DEFAULT) if queue_type == QUORUM else None
    return QueueFeatures(
        queue_type=queue_type,
        message_ttl_ms=arguments.get("x-message-ttl"),
        expires_ms=arguments.get("x-expires"),
        max_length=arguments.get("x-max-length"),
        max_length_bytes=arguments.get("x-max-length-bytes"),
        overflow=arguments.get("x-overflow", DROP_HEAD),
        dead_letter_exchange=arguments.get(DEAD_LETTER_EXCHANGE),
        dead_letter_routing_key=arguments.get(DEAD_LETTER_ROUTING_KEY),
        max_priority=arguments.get("x-max-priority"),
        single_active_consumer=bool(arguments.get(SINGLE_ACTIVE_CONSUMER)),
        delivery_limit=None if delivery_limit == UNLIMITED_DELIVERIES else delivery_limit,
        consumer_timeout_ms=arguments.get(CONSUMER_TIMEOUT) or None,
        backoff=backoff_of(arguments),
        deduplication=deduplication_of(arguments),
        max_age_ms=age_ms(arguments.get(MAX_AGE, "")),
    )
