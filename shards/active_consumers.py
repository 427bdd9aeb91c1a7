"""The tags of consumers of queues that have one active at a time: for people who ask which one it is.

The engine knows consumers by their handles. Owns the tags; decides nothing.
"""
from typing import Final

from shards.engine import Engine, UnknownQueue

Consumer = tuple[int, int]
"""Gateway and handle. A handle is never used twice."""

FORGOTTEN_MAX: Final = 64
"""Tags of consumers that have gone, per queue, before they are looked for."""


class ActiveConsumers:
    """Tags by queue and consumer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tags: dict[int, dict[Consumer, str]] = {}

    def came(self, queue_id: int, consumer: Consumer, tag: str) -> None:
        """A consumer of such a queue."""
        tags = self._tags.setdefault(queue_id, {})
        tags[consumer] = tag
        if len(tags) > 2 * self._engine.count(queue_id)[1] + FORGOTTEN_MAX:
            self._tags[queue_id] = {
                known: tag for known, tag in tags.items() if self._engine.standing(*known) is not None
            }

    def queue_went(self, queue_id: int) -> None:
        self._tags.pop(queue_id, None)

    def tag_of(self, queue_id: int) -> str | None:
        """The tag of the active consumer of a queue; None where it has none, or does not work like that."""
        if queue_id not in self._tags:
            return None
        try:
            active = self._engine.active_consumer(queue_id)
        except UnknownQueue:
            return None
        return None if active is None else self._tags[queue_id].get(active)
