"""The shard process: recovery, then a Shard with its links, its commits and its tie to the catalog, until the stop.

Order of a start: the log is recovered, the catalog says which queues there are, their
messages are loaded and all others dropped; only then are links opened and the process
is ready. Decides nothing about messages.
"""
import asyncio
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from bus.context import ProcessContext
from bus.control import ControlClient, ControlError, Message
from bus.pace import until_next
from log.commit import GroupCommit
from log.machine import last_run, went_down
from log.recovery import check_formats, discard
from log.store import Store
from shards.alarm import Alarm
from shards.consumed import ConsumedQueues
from shards.control import Control
from shards.dead_letters import LetterRouter
from shards.engine import Engine
from shards.heap import Heap
from shards.queues import Entries, ShardQueues
from shards.relay import Relay
from shards.reply_queues import ReplyQueues
from shards.requests import Requests
from shards.shard import Shard
from shards.turn import wall_clock_ms
from topology.client import TopologyClient
from topology.replica import Replica

logger = logging.getLogger(__name__)

HOUSEKEEPING_INTERVAL_S: Final = 1.0
COMPACTION_INTERVAL_S: Final = 0.02
"""Between two steps while there is something to compact: at most a few per cent of the loop's time."""
FIRST_INCARNATION: Final = 1
KILLED: Final = "it was killed"
MACHINE_DOWN: Final = "the machine went down"
SETTLE_INTERVAL_S: Final = 0.005
SETTLE_QUIET_INTERVALS: Final = 4
"""So long there is nothing to settle: what was said last has left by then, and what was on its way here has come."""
SETTLE_S_MAX: Final = 2.0
"""The shards stop at the same time and need a sync of the disk each; one that was killed just now is not waited for."""
CONSUMED_FILE: Final = "consumed-queues"
ATTACH_S_MAX: Final = 10.0
"""Gateways attach their consumers to a restarted shard as soon as their links are up; this is plenty."""


def open_store(context: ProcessContext) -> Store:
    """The log of this shard. Transient messages are dropped when the broker starts, not when a shard does."""
    directory = context.data_directory / "shards" / str(context.index)
    durable, spill = directory / "durable", directory / "transient"
    transient = Path(context.shared_directory) / f"shard-{context.index}"
    check_formats(str(path) for path in (durable, transient, spill))
    if context.incarnation == FIRST_INCARNATION:
        for path in (transient, spill):
            discard(str(path))
        (transient / CONSUMED_FILE).unlink(missing_ok=True)
    return Store(
        str(durable), str(transient), str(spill),
        segment_bytes=context.settings["segment_bytes"],
        transient_bytes_max=context.settings["transient_bytes_max"],
        clock_ms=wall_clock_ms,
    )


async def recover(store: Store) -> dict[int, Entries]:
    """In a thread: the supervisor hears of this process meanwhile."""
    started_s = time.monotonic()
    recovered: dict[int, Entries] = await asyncio.to_thread(store.recover)
    logger.info(
        "recovered %d messages of %d queues in %.1f s",
        sum(len(entries) for entries in recovered.values()), len(recovered), time.monotonic() - started_s,
    )
    return recovered


def last_end(store: Store) -> str | None:
    """How the last run of the broker on this log ended, where that was not by a stop. None too within a run."""
    if last_run(store.durable_directory) is None:
        return None
    return MACHINE_DOWN if went_down(store.disk, store.durable_directory) else KILLED


async def unless_stopping(context: ProcessContext, work: Coroutine[Any, Any, None]) -> bool:
    """Waits for something that may never come; False where the broker stops first."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(context.stopping.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True


async def run(context: ProcessContext) -> None:
    """One shard, from its start to the supervisor's stop."""
    store = open_store(context)
    ended = last_end(store) if context.incarnation == FIRST_INCARNATION else None
    recovered = await recover(store)
    recovered_counts = {queue_id: len(entries) for queue_id, entries in recovered.items()}
    replica = Replica()
    engine = Engine(store, context.gateway_count, context.shard_count)
    engine.letter_router = LetterRouter(context.index, replica)

    async def delete_unused(queue_id: int, expired: bool) -> bool:
        try:
            answer = await catalog.request("queue.unused", queue_id=queue_id, expired=expired)
            return bool(answer.get("deleted"))
        except ControlError as error:
            logger.error("queue %d is unused and could not be deleted: %s", queue_id, error)
            return False

    def on_peer_restarted(message: Message) -> None:
        if message["role"] == "catalog":
            catalog.catalog_restarted()

    def on_change(change: Message) -> None:
        engine.now_ms = wall_clock_ms()
        queues.on_change(change)
        if control.loaded.is_set():
            shard.links.schedule()      # consumers of deleted queues are told

    consumed = ConsumedQueues(Path(store.transient_directory) / CONSUMED_FILE)
    reply_queues = ReplyQueues(engine, store, context.incarnation)
    requests = Requests(engine, replica, delete_unused, lambda: shard.links.schedule(), consumed, reply_queues)
    relay = Relay(engine, context.want_link)
    shard = Shard(
        engine, store, requests, relay, clock_ms=wall_clock_ms, report_broken=context.report_broken
    )
    queues = ShardQueues(context.index, engine, store, requests, replica, recovered)
    control = Control(shard, replica)
    client = ControlClient(
        context.catalog_address, context.identity,
        on_push=lambda message: catalog.receive_push(message), handle=control.handle,
    )
    catalog = TopologyClient(client, replica, on_change, incarnation=context.incarnation)
    shard.alarm = alarm = Alarm(context.loop, wall_clock_ms, shard.on_alarm)
    commit = GroupCommit(store, context.loop, on_durable=shard.on_durable, on_failure=context.fail)
    shard.commit = commit

    await client.start()
    context.on_push("peer.restarted", on_peer_restarted)
    if not await unless_stopping(context, catalog.start()):
        await catalog.close()
        await client.close()
        return
    queues.forget_orphans()
    shard.links = links = context.make_links(
        shard.on_batch, shard.on_up, shard.on_down, shard.on_writable, shard.on_idle
    )
    if context.incarnation > FIRST_INCARNATION:
        requests.await_attachments(range(context.gateway_count))
    control.loaded.set()
    context.on_request(control.handle)
    commit.start()
    housekeeping = context.loop.create_task(_keep_house(shard, context))
    found = [count for queue_id, count in recovered_counts.items() if engine.has_queue(queue_id)]
    await context.ready(last_end=ended, recovered={"messages": sum(found), "queues": len(found)})
    attached = context.loop.call_later(ATTACH_S_MAX, requests.attached_late)
    try:
        await context.stopping.wait()
        await settle(shard, context)
    finally:
        attached.cancel()
        alarm.cancel()
        housekeeping.cancel()
        requests.close()
        consumed.close()
        links.close()
        engine.forget_loans()
        commit.close()
        if context.failed is None:
            store.close()
        await catalog.close()
        await client.close()


async def settle(shard: Shard, context: ProcessContext) -> None:
    """What is on its way between shards arrives and is answered, so that after a stop no message is on both."""
    shard.relay.close()
    deadline_s = context.loop.time() + SETTLE_S_MAX
    quiet = 0
    while context.failed is None and quiet < SETTLE_QUIET_INTERVALS and context.loop.time() < deadline_s:
        quiet = quiet + 1 if shard.settled else 0
        await asyncio.sleep(SETTLE_INTERVAL_S)


async def _keep_house(shard: Shard, context: ProcessContext) -> None:
    heap = Heap()
    while True:
        try:
            more = shard.tick(context.loop.time())
            if not more:
                heap.give_back()
        except Exception as error:
            context.fail(error)
            return
        await asyncio.sleep(
            COMPACTION_INTERVAL_S if more else until_next(context.loop.time(), HOUSEKEEPING_INTERVAL_S))
