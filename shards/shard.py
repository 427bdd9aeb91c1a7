"""One shard's turn: batches in, dispatch, batches out, watermarks, commits.

Batches come from senders, as the engine numbers them: gateways, then the shards that hand messages over to this one.
Owns the engine and its links' watermarks. Persists before it answers: a batch counts as
durable when the group commit that covers it has returned; deliveries never wait for that.
Opens nothing; shards/worker.py connects it to the world. What runs for every batch is compiled: shards/turn.pyx.
"""
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from bus.limits import ROOM_IDLE_S
from bus.links import LinkEnd
from log.store import Store
from shards.engine import Engine
from shards.relay import Relay
from shards.requests import Requests
from shards.turn import ShardTurn
from shards.watermarks import Watermark

logger = logging.getLogger(__name__)

COMPACTION_STEP_BYTES: Final = 1024 * 1024
"""Copied in one step, well under a millisecond of the loop's time."""
REFUSAL_LOG_INTERVAL_S: Final = 1.0


class Links(Protocol):
    """The links that are up."""

    def schedule(self) -> None: ...


class Commit(Protocol):
    """Group commit; calls `Shard.on_durable` when something is on the disk."""

    def request(self) -> None: ...


class Alarm(Protocol):
    """Calls `Shard.on_alarm` at a time (ms, wall clock); None: not at all."""

    def set(self, at_ms: int | None) -> None: ...


class Shard(ShardTurn):
    """The state of one shard process, driven by callbacks of its links and its commits."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        requests: Requests,
        relay: Relay,
        *,
        clock_ms: Callable[[], int],
        report_broken: Callable[[LinkEnd], None],
    ) -> None:
        """`report_broken`: a link carried nonsense and has to be made anew."""
        super().__init__(engine, store, requests, relay, clock_ms, report_broken)
        self._refused_told = 0
        self._rooms_looked_at_s = -ROOM_IDLE_S
        self._refused_told_at_s = -REFUSAL_LOG_INTERVAL_S

    # callbacks of the links

    def on_up(self, link: LinkEnd) -> None:
        if not link.serving:
            logger.info("link to shard %d is up", link.peer)
            self.relay.on_up(link)
            return
        logger.info("link from %s %d is up", link.peer_role, link.peer)
        sender = self._sender(link)
        self._ends[sender] = link
        self.engine.set_borrowing(sender, link.shares_files)
        self._watermarks[sender] = Watermark()

    def on_down(self, link: LinkEnd) -> None:
        """Whatever a gateway had here goes: what it held is ready again."""
        self._broken.discard(link)
        if not link.serving:
            logger.info("link to shard %d is down", link.peer)
            self.relay.on_down(link)
            return
        logger.info("link from %s %d is down", link.peer_role, link.peer)
        sender = self._sender(link)
        self._ends.pop(sender, None)
        self._watermarks.pop(sender, None)
        self.engine.now_ms = self._clock_ms()
        self.requests.gateway_down(sender)

    def on_writable(self, link: LinkEnd) -> None:
        if link.serving:
            self.engine.set_congested(self._sender(link), False)

    def on_alarm(self) -> None:
        """Something is due: heads that expire, delayed messages, queues that nobody uses."""
        if self.engine.expire(self._clock_ms()):
            self.links.schedule()
        self.requests.delete_expired()
        self.on_idle()

    # callbacks of commits

    def on_durable(self, position: int) -> None:
        """A commit has returned: senders hear of what it covers."""
        self.engine.durable_up_to(position)
        for watermark in self._watermarks.values():
            watermark.durable_up_to(position)
        self.engine.durable(position)
        self.on_idle()

    # now and then, and the end

    @property
    def settled(self) -> bool:
        """Nobody waits for an answer: no sender for this shard's disk, and not this shard for that of another."""
        return self.relay.idle and all(watermark.settled for watermark in self._watermarks.values())

    def tick(self, now_s: float) -> bool:
        """A step of housekeeping; True where more is to be done soon."""
        if self.engine.loan_count:
            self._take_back()
            self.links.schedule()
        self._tell_refusals(now_s)
        self.relay.tick(now_s)
        if now_s >= self._rooms_looked_at_s + ROOM_IDLE_S:
            self._rooms_looked_at_s = now_s
            self.store.give_back_rooms()
            self.links.schedule()       # gateways hear of files that are gone
        try:
            more = self.store.compact(COMPACTION_STEP_BYTES)
        except OSError as error:
            logger.warning("no room to compact the log: %s", error)
            return False
        self.commit.request()
        return bool(more)

    def _tell_refusals(self, now_s: float) -> None:
        refused = self.engine.refused_count - self._refused_told
        if refused and now_s - self._refused_told_at_s >= REFUSAL_LOG_INTERVAL_S:
            logger.error("%d messages were refused, the log has no room for them: %s", refused, self.engine.refusal)
            self._refused_told += refused
            self._refused_told_at_s = now_s

    def statistics(self) -> dict[str, Any]:
        return {**self.engine.statistics(), "log": self.store.statistics(), "relay": self.relay.statistics()}
