"""One shard's turn: batches in, dispatch, batches out, watermarks, commits.

Batches come from senders, as the engine numbers them: gateways, then the shards that hand messages over to this one.
Owns the engine and its links' watermarks. Persists before it answers: a batch counts as
durable when the group commit that covers it has returned; deliveries never wait for that.
Opens nothing; shards/worker.py connects it to the world.
"""
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from bus.links import SHARD, LinkEnd
from log.store import Store
from shards.engine import BadRecord, Engine
from shards.relay import Relay
from shards.requests import Requests
from shards.watermarks import Watermark

logger = logging.getLogger(__name__)

EARLY_FLUSH_BYTES: Final = 64 * 1024
"""What waits for a gateway beyond this leaves before the next batch is looked at: both sides then work at once."""
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


class Shard:
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
        self.engine = engine
        self.store = store
        self.requests = requests
        self.relay = relay
        self.links: Links
        self.commit: Commit
        self.alarm: Alarm
        self._clock_ms = clock_ms
        self._report_broken = report_broken
        self._first_shard = engine.sender_count - engine.shard_count
        self._ends: dict[int, LinkEnd] = {}             # by sender
        self._watermarks: dict[int, Watermark] = {}     # by sender
        self._broken: set[LinkEnd] = set()
        self._refused_told = 0
        self._refused_told_at_s = -REFUSAL_LOG_INTERVAL_S

    # callbacks of the links

    def _sender(self, link: LinkEnd) -> int:
        return self._first_shard + link.peer if link.peer_role == SHARD else link.peer

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

    def set_clock(self) -> None:
        """Before the engine is asked something outside a batch."""
        self.engine.now_ms = self._clock_ms()

    def on_batch(self, link: LinkEnd, view: memoryview) -> None:
        """All records of a batch, in order."""
        if link in self._broken:
            return
        self.engine.now_ms = self._clock_ms()
        if self.engine.loan_count:
            self._take_back()
        try:
            if link.serving:
                self._receive(self._sender(link), view)
            else:
                self.relay.on_batch(link, view)
        except BadRecord as error:
            logger.error("a batch of %s %d is broken, its link is made anew: %s", link.peer_role, link.peer, error)
            self._broken.add(link)
            self._report_broken(link)
            return
        self.engine.dispatch()
        self._flush(EARLY_FLUSH_BYTES)

    def _receive(self, sender: int, view: memoryview) -> None:
        position_before = self.store.appended_position
        self._apply(sender, view)
        position = self.store.appended_position
        # A duplicate is as safe as what it duplicates, which may have come over another link a moment ago.
        needed = self.engine.take_leaning() or position != position_before
        self._watermarks[sender].applied(position if needed and position > self.store.durable_position else None)

    def _apply(self, sender: int, view: memoryview) -> None:
        engine = self.engine
        end = len(view)
        offset = engine.receive(sender, view)
        while offset < end:
            kind, request_id, document, offset = engine.read_json(view, offset)
            # A request sees the queues as if every message before it had found its consumer at once.
            engine.dispatch()
            self.requests.handle(sender, kind, request_id, document)
            # one batch may ask for many large messages: what a link takes at once has a limit
            self._flush(EARLY_FLUSH_BYTES)
            offset = engine.receive(sender, view, offset)

    def on_idle(self) -> None:
        """The end of a turn: what it produced leaves, what it appended is committed."""
        if self.engine.loan_count:
            self._take_back()
        self.engine.end_loans()
        self.engine.dispatch()
        for sender, watermark in self._watermarks.items():
            news = watermark.news()
            if news is not None:
                self.engine.watermark(sender, *news)
        self._flush(0)
        self.commit.request()
        if not self.engine.idle:
            self.links.schedule()
        self.alarm.set(self.engine.next_timer_ms())

    def on_alarm(self) -> None:
        """Something is due: heads that expire, delayed messages, queues that nobody uses."""
        if self.engine.expire(self._clock_ms()):
            self.links.schedule()
        self.requests.delete_expired()
        self.on_idle()

    def _flush(self, minimum_bytes: int) -> None:
        engine = self.engine
        for sender in engine.pending(minimum_bytes):
            link = self._ends.get(sender)
            if link is not None:
                link.send(engine.outgoing(sender))
                if link.congested:
                    engine.set_congested(sender, True)
            engine.sent(sender, link)
        self.relay.flush(minimum_bytes)

    def _take_back(self) -> None:
        """Segments that gateways are done with may be used again."""
        for sender, link in self._ends.items():
            if link.shares_files:
                self.engine.returned(sender, link.returned_position)

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
