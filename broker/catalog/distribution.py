"""Who has applied which change, and so which requests may be answered.

Each change goes to all shards at once, to the gateways when the shards that own
its queues have applied it, and is settled when every subscriber has: whatever a
client was told exists can then be reached through any gateway, and no gateway
sends to a queue that its shard does not know yet.

A state machine: it is told what happened, sends through a callable, and reads
no clock. A subscriber that is gone is waited for no longer; one that comes back
takes a snapshot. One that is expected (the catalog itself was restarted and has
not heard of it yet) is waited for like a subscriber.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from topology.changes import Op

GATEWAY: Final = "gateway"
SHARD: Final = "shard"
NOTHING_APPLIED: Final = -1

Message = dict[str, Any]


@dataclass(slots=True)
class _Subscriber:
    is_shard: bool
    sent: int                       # version of the last change it was sent, or of its snapshot
    applied: int = NOTHING_APPLIED


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    message: Message
    owners: frozenset[str]          # identities of the shards whose queues it adds or removes


def shard_identity(index: int) -> str:
    return f"{SHARD}-{index}"


def is_shard(identity: str) -> bool:
    return identity.startswith(f"{SHARD}-")


class Distribution:
    """The changes that are not settled, and how far each subscriber is."""

    def __init__(
        self, epoch: int, send: Callable[[str, Message], None], on_settled: Callable[[int], None]
    ) -> None:
        self.published = 0
        self.settled = 0
        self._epoch = epoch
        self._send = send
        self._on_settled = on_settled
        self._released = 0                              # the last change that gateways may have
        self._changes: deque[_Change] = deque()
        self._subscribers: dict[str, _Subscriber] = {}
        self._expected: set[str] = set()

    # subscribers

    def expect(self, identities: Iterable[str]) -> None:
        """Wait for these as if they had subscribed already, and for what was there before the first change too."""
        self._expected.update(identities)
        if self._expected and not self.published:
            self.settled = NOTHING_APPLIED

    def expect_no_longer(self) -> list[str]:
        """Who has not come is not waited for any more; returns who that is."""
        missing = sorted(self._expected)
        self._expected.clear()
        self._advance()
        return missing

    def expect_all_again(self) -> list[str]:
        """Every subscriber has to take a new snapshot. Returns them."""
        identities = list(self._subscribers)
        self._expected.update(identities)
        self._subscribers.clear()
        return identities

    def subscribe(self, identity: str) -> int:
        """From now on it is sent what comes after the version that is returned; it has that in its snapshot."""
        self._expected.discard(identity)
        self._subscribers[identity] = _Subscriber(is_shard(identity), sent=self.published)
        self._advance()
        return self.published

    def gone(self, identity: str) -> None:
        self._expected.discard(identity)
        self._subscribers.pop(identity, None)
        self._advance()

    def applied(self, identity: str, version: int) -> None:
        """The subscriber has applied everything up to a version."""
        subscriber = self._subscribers.get(identity)
        if subscriber is not None and subscriber.applied < version <= self.published:
            subscriber.applied = version
            self._advance()

    def subscribers(self) -> list[str]:
        return list(self._subscribers)

    # changes

    def publish(self, version: int, ops: list[Op]) -> None:
        """A change that is committed. Versions come in order, each once."""
        message = {"verb": "change", "epoch": self._epoch, "version": version, "ops": ops}
        owners = frozenset(shard_identity(op["shard"]) for op in ops if op["op"] in ("queue.add", "queue.delete"))
        self.published = version
        self._changes.append(_Change(version, message, owners))
        self._send_to(shards=True, change=self._changes[-1])
        self._advance()

    def _send_to(self, shards: bool, change: _Change) -> None:
        for identity, subscriber in self._subscribers.items():
            if subscriber.is_shard == shards and subscriber.sent < change.version:
                subscriber.sent = change.version
                self._send(identity, change.message)

    def _advance(self) -> None:
        for change in self._changes:
            if change.version > self._released:
                if not all(self._has(identity, change.version) for identity in change.owners):
                    break
                self._released = change.version
                self._send_to(shards=False, change=change)
        if self._expected:
            return
        everywhere = min((subscriber.applied for subscriber in self._subscribers.values()), default=self._released)
        settled = min(everywhere, self._released)
        while self._changes and self._changes[0].version <= settled:
            self._changes.popleft()
        if settled > self.settled:
            self.settled = settled
            self._on_settled(settled)

    def _has(self, identity: str, version: int) -> bool:
        """A shard has a change, or is not there to have it."""
        subscriber = self._subscribers.get(identity)
        if subscriber is None:
            return identity not in self._expected
        return subscriber.applied >= version
