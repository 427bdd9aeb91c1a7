"""One run: declares, starts the workers, moves the phases on, watches, ends, and reports.

The coordinator touches no message. It owns the board, the workers and one connection for declarations.
"""
from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bench.perf import plan
from bench.perf.board import NEVER_NS, Board
from bench.perf.client import Client
from bench.perf.core import board as core
from bench.perf.core.template import STAMP_SIZE
from bench.perf.errors import LoadError
from bench.perf.histogram import Histogram
from bench.perf.load import Load
from bench.perf.machine import machine
from bench.perf.processes import Memory, ProcessTree
from bench.perf.result import Latency, Rates, Result, Verification
from bench.perf.snapshot import NS, Snapshot, broker_use, generator_use, rates_between, rates_of
from bench.perf.timeline import Timeline
from bench.perf.topology import clean_up, declare
from bench.perf.url import parse
from bench.perf.workers import Workers

NAP_S: Final = 0.02
WINDOW_NAP_S: Final = 0.05
"""While the window is open: on few cores each look takes time from a broker, and shows in the tail of its latency."""
READY_TIMEOUT_S: Final = 120.0
"""For all connections: some brokers take milliseconds for each."""
MEMORY_INTERVAL_S: Final = 2.0
"""PSS costs the kernel a walk through the broker's pages. It is also looked at before a run and at the window's end."""
COUNT_NAP_S: Final = 0.004
"""With a count the measurement ends with the last message: what a broker does later is not counted with it."""
PROGRESS_INTERVAL_S: Final = 1.0
AFTERMATH_S: Final = 0.05
"""For duplicates of the last messages to come."""


@dataclass(frozen=True)
class Target:
    """A broker: where it is, and which processes it is, as far as that is known."""

    urls: Sequence[str]
    pids: Sequence[int] = ()            # roots of its process trees
    name: str = ""


@dataclass(frozen=True)
class Progress:
    """What is told each second while a run goes on; rates of that second."""

    at_s: float
    rates: Rates
    latency: Latency | None
    blocked: int                        # connections that the broker holds back
    cpu_cores: float | None
    memory: Memory | None


def execute(target: Target, load: Load, on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Run a load once. LoadError where it cannot be, or is cut off by the broker."""
    return _Run(target, load, on_progress).execute()


@contextmanager
def in_the_background() -> Iterator[None]:
    """This thread wakes up without taking a core from anybody, which the tail of a broker's latency would show."""
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:                                     # a policy that we may not leave
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, parameters)


class _Run:
    def __init__(self, target: Target, load: Load, on_progress: Callable[[Progress], None] | None) -> None:
        self.target = target
        self.load = load
        self.on_progress = on_progress
        self.tree = ProcessTree(target.pids)
        self.timeline = Timeline()
        self.peak = Memory()
        self.interrupted = self.timed_out = False
        self.expected_of_drain = 0
        self._next_memory_s = MEMORY_INTERVAL_S
        self._told: tuple[float, dict[str, int], Histogram, float] | None = None

    def execute(self) -> Result:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        client = Client(parse(self.target.urls[0]), "control")
        try:
            product = " ".join(str(client.server_properties.get(key, "?")) for key in ("product", "version"))
            waiting = declare(client, self.load)
            self.expected_of_drain = waiting if self.load.count is None else min(waiting, self.load.count)
            try:
                with self._interruptible():
                    result = self._with_workers()
            except BaseException:
                self._clean_up_quietly()
                raise
            result.left_in_queues = clean_up(client, self.load)
        finally:
            client.close()
        result.started_at, result.broker, result.place = started_at, product, client.address.place
        result.name, result.options, result.machine = self.target.name, self.load.model_dump(mode="json"), machine()
        return result

    def _clean_up_quietly(self) -> None:
        """On a connection of its own, as the first one may be in the middle of something."""
        try:
            client = Client(parse(self.target.urls[0]), "control")
            try:
                clean_up(client, self.load)
            finally:
                client.close()
        except LoadError:
            pass                                        # what ended the run is what is told

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the window, the second one everything. In the main thread, which alone has signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(*_: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _with_workers(self) -> Result:
        shares = plan.shares(self.load, len(os.sched_getaffinity(0)))
        self.board = Board(len(shares))
        try:
            self.workers = Workers(self.load, self.target.urls, secrets.randbits(32), shares, self.board)
            try:
                with in_the_background():
                    return self._watched()
            finally:
                self.workers.close()
        finally:
            self.board.close()

    # -- the phases

    def _watched(self) -> Result:
        self._wait_for("ready", len(self.workers), "the connections")
        if self.load.mode != "drain":
            self.board.phase = core.CONSUME
            self._wait_for("consuming", plan.consumers_started(self.load), "the consumers")
        self._look_at_memory()
        start = self._snapshot()
        warmup_ns = int(self.load.warmup_s * NS)
        seconds = self.load.seconds
        self.started_ns = start.at_ns
        window_ns = start.at_ns + warmup_ns
        stop_ns = window_ns + int(seconds * NS) if seconds is not None else NEVER_NS
        # a drain measures what was published before: every time of sending is in its window
        self.board.set_window(start.at_ns, 0 if self.load.mode == "drain" else window_ns, stop_ns)
        self.board.phase = core.RUN
        begin, end = self._measure(start if not warmup_ns else None, window_ns, stop_ns)
        ended_ns = time.monotonic_ns()
        self.timeline.end((end.at_ns - self.started_ns) / NS, end.totals)
        if not self.timed_out:
            time.sleep(AFTERMATH_S)
        totals = self.board.counters()
        latency, confirm_latency = self.board.latency(), self.board.confirm_latency()
        reply_latency = self.board.reply_latency()
        self.board.phase = core.DONE
        self.workers.wait()
        by_clock = seconds is not None or self.interrupted
        return Result(
            interrupted=self.interrupted,
            window_s=round((end.at_ns - begin.at_ns) / NS, 3),
            drain_s=round((ended_ns - end.at_ns) / NS, 3) if by_clock else 0.0,
            totals=totals,
            rates=rates_of(begin, end, by_clock),
            latency=Latency.of(latency),
            confirm_latency=Latency.of(confirm_latency),
            reply_latency=Latency.of(reply_latency),
            verification=self._verification(totals),
            broker_use=broker_use(begin, end, self.peak, self._counted) if self.target.pids else None,
            generator=generator_use(begin, end),
            series=self.timeline.series(),
        )

    def _wait_for(self, counter: str, wanted: int, what: str) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while self.board.counter(counter) < wanted:
            self.workers.check()
            if time.monotonic() > deadline_s:
                raise LoadError(f"{what} are not ready after {READY_TIMEOUT_S:.0f} s")
            time.sleep(NAP_S)

    def _measure(self, begin: Snapshot | None, window_ns: int, stop_ns: int) -> tuple[Snapshot, Snapshot]:
        """Until everything that was published has arrived; the snapshots at both ends of the window."""
        end: Snapshot | None = None
        last_sum, last_change_ns = -1, time.monotonic_ns()
        while True:
            if begin is None:
                now_ns = self._nap(NAP_S, window_ns)
            elif end is None:
                now_ns = self._nap(WINDOW_NAP_S if stop_ns != NEVER_NS else COUNT_NAP_S, stop_ns)
            else:
                now_ns = self._nap(NAP_S, NEVER_NS)
            self.workers.check()
            totals = self._observe(now_ns)
            if begin is None and (now_ns >= window_ns or self.interrupted):
                begin = self._snapshot()
            if end is None and begin is not None and (now_ns >= stop_ns or self.interrupted):
                end = self._snapshot()
                self.board.phase = core.STOP
                self._look_at_memory()
                if self.load.mode == "drain":
                    break
            if self._finished(totals):
                break
            progressed = sum(totals[name] for name in ("published", "confirmed", "nacked", "delivered", "cycles")) + (
                totals["replied"] if self.load.rpc else 0)     # of basic.get there is always one
            waits_for_an_alarm = totals["blocked_now"] > 0 and totals["producers_done"] < self.load.producers
            if progressed != last_sum or waits_for_an_alarm or (end is None and stop_ns != NEVER_NS):
                last_sum, last_change_ns = progressed, now_ns
            if now_ns - last_change_ns > self._patience_ns():
                self.timed_out = True
                break
        last = self._snapshot()
        return begin or last, end or last

    def _nap(self, moment_s: float, wanted_ns: int) -> int:
        """A moment, or until a time that comes sooner; what time it is then."""
        time.sleep(max(0.0, min(moment_s, (wanted_ns - time.monotonic_ns()) / NS)))
        return time.monotonic_ns()

    def _finished(self, totals: dict[str, int]) -> bool:
        if totals["producers_done"] < self.load.producers:
            return False
        return not self.load.consumers or self._unique(totals) >= self._expected(totals)

    def _patience_ns(self) -> int:
        """How long nothing may happen: at a low rate nothing happens for long."""
        return int((self.load.drain_timeout_s + (2 / self.load.rate if self.load.rate else 0)) * NS)

    # -- watching

    def _snapshot(self) -> Snapshot:
        cpu_s = self.tree.cpu_seconds() if self.target.pids else 0.0
        by_title = self.tree.cpu_by_title() if self.target.pids else {}
        return Snapshot(time.monotonic_ns(), self.board.counters(), cpu_s, by_title, self.workers.cpu_seconds())

    def _observe(self, now_ns: int) -> dict[str, int]:
        at_s = (now_ns - self.started_ns) / NS
        totals = self.board.counters()
        if at_s >= self.timeline.due_s():
            self.timeline.add(at_s, totals)
        if self.target.pids and at_s >= self._next_memory_s:
            self._next_memory_s = at_s + MEMORY_INTERVAL_S
            self._look_at_memory()
        if self.on_progress is not None:
            self._tell(at_s, totals)
        return totals

    def _look_at_memory(self) -> None:
        if self.target.pids:
            found = self.tree.memory()
            self.peak = Memory(max(self.peak.rss_bytes, found.rss_bytes), max(self.peak.pss_bytes, found.pss_bytes))

    def _tell(self, at_s: float, totals: dict[str, int]) -> None:
        assert self.on_progress is not None
        if self._told is not None and at_s < self._told[0] + PROGRESS_INTERVAL_S:
            return
        latency = self.board.latency()
        cpu_s = self.tree.cpu_seconds() if self.target.pids else 0.0
        if self._told is not None:
            from_s, earlier, earlier_latency, earlier_cpu_s = self._told
            took_s = at_s - from_s
            self.on_progress(Progress(
                at_s, rates_between(earlier, totals, took_s), Latency.of(latency.since(earlier_latency)),
                totals["blocked_now"], (cpu_s - earlier_cpu_s) / took_s if self.target.pids else None,
                self.peak if self.target.pids else None,
            ))
        self._told = (at_s, totals, latency, cpu_s)

    # -- what it comes to

    @property
    def _counted(self) -> str:
        """What the broker's CPU time is divided by."""
        if self.load.polling:
            return "replied"
        return "delivered" if self.load.consumers else "cycles" if self.load.mode == "churn" else "published"

    def _expected(self, totals: dict[str, int]) -> int:
        return self.expected_of_drain if self.load.mode == "drain" else totals["expected"]

    def _unique(self, totals: dict[str, int]) -> int:
        other = totals["duplicates"] + totals["misrouted"]
        return totals["delivered"] - other - (totals["foreign"] if self.load.mode != "drain" else 0)

    def _verification(self, totals: dict[str, int]) -> Verification:
        drain, publish_only = self.load.mode == "drain", not self.load.consumers
        expected = 0 if publish_only else self._expected(totals)
        cut_short = drain and (self.load.seconds is not None or self.interrupted)
        answered = totals["replied"] if self.load.rpc else totals["confirmed"] + totals["nacked"]
        return Verification(
            checked=self.load.verify and self.load.size >= STAMP_SIZE and not publish_only,
            expected=expected,
            missing=0 if publish_only or cut_short else max(0, expected - self._unique(totals)),
            duplicates=totals["duplicates"],
            out_of_order=totals["out_of_order"],
            misrouted=totals["misrouted"],
            foreign=0 if drain else totals["foreign"],
            bad_confirms=totals["bad_confirms"],
            unconfirmed=max(0, totals["published"] - answered) if self.load.confirm or self.load.rpc else 0,
            redelivered=totals["redelivered"],
            timed_out=self.timed_out,
        )
