"""The supervisor: starts the processes of the broker, joins them with links, and starts again what dies.

Owns the children, the control server that they all talk to, the links' files, the alarms and the word to systemd.
Never touches a message, and never holds anything that cannot be made anew from the data directory.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from broker.children import Child, describe_exit, restart_delay_s, watch
from broker.ground import Ground
from broker.health import Health
from broker.link_registry import LinkRegistry
from broker.listening import shown
from broker.nursery import Nursery
from broker.nursery_watch import NurseryWatch
from broker.process import EXIT_CANNOT_START, EXIT_FAILED
from broker.settings import plain
from broker.status import describe
from broker.version import VERSION
from bus.context import StartError
from bus.control import ControlError, ControlServer, Message
from bus.doorbell import create_board
from bus.links import SHARED_MEMORY, ZEROMQ

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S: Final = 10.0
"""A question of the command line to one process, unless it says how long it may take."""
CALL_TIMEOUT_S_MAX: Final = 600.0
KILLED_GONE_S_MAX: Final = 5.0
REPLY_KEY_BYTES: Final = 32
CONTROL_SCHEMES: Final = {SHARED_MEMORY: "unix://", ZEROMQ: "ipc://"}
"""The control bus goes the way of the links."""
STOP_ORDER: Final = (("gateway",), ("shard",), ("catalog",))
"""Gateways first: what their connections still do needs shards and catalog."""


class Supervisor:
    """One run of the broker."""

    def __init__(self, ground: Ground) -> None:
        """Before this process has a thread or a loop, as it forks."""
        self._ground = ground
        settings = ground.settings
        self._started_at_s = time.monotonic()
        self._catalog = Child("catalog", 0)
        self._gateways = [Child("gateway", index) for index in range(settings.gateways)]
        self._shards = [Child("shard", index) for index in range(settings.shards)]
        self._children = {
            child.identity: child for child in (self._catalog, *self._shards, *self._gateways)
        }
        runtime = ground.runtime.path
        self._scheme = CONTROL_SCHEMES[settings.link]
        self._address = f"{self._scheme}{runtime}/supervisor"
        self._control = ControlServer(self._address, self._handle, on_peer=self._on_hello)
        self._links = LinkRegistry(
            settings.link, (ground.runtime.shared_path, runtime), settings.link_ring_bytes, self._control.push
        )
        self._doorbells = self._make_doorbells()
        self._nursery = Nursery([
            ground.data.lock_descriptor,        # held by all: see broker/data_directory.py
            *(listener.fileno() for listener in ground.listeners),
            *(descriptor for _, _, descriptor in self._doorbells),
        ])
        self._health = Health(ground, self._nursery, self._children.values(), self._tell_all)
        self._reply_key = secrets.token_bytes(REPLY_KEY_BYTES)
        self._ready = False
        self._stopping = asyncio.Event()
        self._failure: str | None = None
        self._failure_code = EXIT_FAILED
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code of the broker."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        await self._control.start()
        try:
            self._health.check_alarms()
            self._describe()
            for child in self._children.values():
                self._start(child)
            NurseryWatch(self._nursery, loop, self._stopping.is_set).begin()
            self._spawn(self._health.watch())
            if self._ground.service.watchdog_interval_s is not None:
                self._spawn(self._health.feed_watchdog(self._ground.service.watchdog_interval_s))
            await self._stopping.wait()
        finally:
            self._ground.service.notify("STOPPING=1")
            await self._stop_children()
            for task in list(self._tasks):
                task.cancel()
            await self._control.close()
            self._nursery.close()
            for _, _, descriptor in self._doorbells:
                os.close(descriptor)
        if self._failure is not None:
            print(f"warren: {self._failure}", file=sys.stderr, flush=True)
            return self._failure_code
        logger.info("stopped")
        return 0

    def stop(self) -> None:
        if not self._stopping.is_set():
            logger.info("stopping")
        self._stopping.set()

    # --- starting

    def _make_doorbells(self) -> list[tuple[str, int, int]]:
        children = (*self._gateways, *self._shards)
        create_board(str(self._board_path), len(children))
        return [(child.role, child.index, os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)) for child in children]

    @property
    def _board_path(self) -> str:
        return f"{self._ground.runtime.shared_path}/doorbells"

    def _start(self, child: Child) -> None:
        """The next incarnation of a child."""
        listeners = self._ground.listeners if child.role == "gateway" else []
        parameters = {
            "supervisor_pid": os.getpid(),
            "supervisor_address": self._address,
            "catalog_address": f"{self._scheme}{self._ground.runtime.path}/catalog",
            "settings": {**plain(self._ground.settings), "port": self._ground.port},
            "data_directory": str(self._ground.data.path),
            "runtime_directory": str(self._ground.runtime.path),
            "shared_directory": str(self._ground.runtime.shared_path),
            "shard_count": len(self._shards),
            "gateway_count": len(self._gateways),
            "reply_key": self._reply_key.hex(),
            "doorbell_board": self._board_path,
            "doorbells": self._doorbells,
            "listen_descriptors": [listener.fileno() for listener in listeners],
        }
        try:
            child.begin(self._nursery, parameters, time.monotonic())
        except OSError as error:
            self._fail(f"{child.title} cannot be started: {error.strerror}")
            return
        process = child.process
        assert process is not None
        logger.info("started", extra={"fields": {"process_started": child.title, "child_pid": process.pid}})
        watch(asyncio.get_running_loop(), process, lambda returncode: self._on_exit(child, returncode))

    def _fail(self, text: str, code: int = EXIT_FAILED) -> None:
        """The broker cannot start; the first reason counts."""
        if self._failure is None and not self._stopping.is_set():
            self._failure = text
            self._failure_code = code
        self._stopping.set()

    # --- the end of a child, and its return

    def _on_exit(self, child: Child, returncode: int) -> None:
        now_s = time.monotonic()
        pid = child.pid
        was_stopping = child.state == "stopping"
        self._links.disconnect(child)
        child.finish(now_s)
        self._control.forget_peer(child.identity)
        if child is not self._catalog:
            gone = {"verb": "peer.gone", "role": child.role, "index": child.index, "incarnation": child.incarnation}
            self._control.push("catalog", gone)
        if was_stopping or self._stopping.is_set():
            return
        if not self._ready and returncode > 0:
            self._fail(f"{child.title} {describe_exit(returncode)} before it was ready; its log tells why")
            return
        delay_s = restart_delay_s(child.short_lives)
        logger.error(
            "%s (pid %s) %s; it is started again%s", child.title, pid, describe_exit(returncode),
            f" in {delay_s:.1f} s, as it died {child.short_lives} times in a row" if delay_s else "",
        )
        child.restarts += 1
        if delay_s:
            self._spawn(self._start_later(child, delay_s))
        else:
            self._start(child)

    async def _start_later(self, child: Child, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if not self._stopping.is_set():
            self._start(child)

    def _on_ready(self, child: Child) -> None:
        if child.state != "starting":
            return
        child.state = "ready"
        if child.died_at_s is not None:
            away_s = time.monotonic() - child.died_at_s
            logger.warning("%s is back after %.2f s (pid %s)", child.title, away_s, child.pid)
        if child is self._catalog and child.incarnation > 1:
            self._tell_all({"verb": "peer.restarted", "role": "catalog"}, but=child)
        if not self._ready and all(one.state == "ready" for one in self._children.values()):
            self._ready = True
            self._tell_recovery()
            self._announce()

    def _tell_recovery(self) -> None:
        """One line where the last run of the broker did not end by a stop: what its logs have brought back."""
        ends = {child.found["last_end"] for child in self._shards if child.found["last_end"] is not None}
        if ends:
            recovered = [child.found["recovered"] for child in self._shards]
            logger.warning(
                "the last run of the broker did not end by a stop (%s); "
                "recovered from its logs: messages %d, queues %d",
                ", ".join(sorted(ends)),
                sum(one["messages"] for one in recovered), sum(one["queues"] for one in recovered),
            )

    def _announce(self) -> None:
        counts = f"gateways {len(self._gateways)}, shards {len(self._shards)}, pid {os.getpid()}"
        line = f"warren {VERSION} ready on {shown(self._ground.host, self._ground.port)} ({counts})"
        try:
            self._describe()
        except StartError as error:
            logger.error("the command line cannot see that this broker is ready: %s", error)
        with contextlib.suppress(OSError):      # nobody reads it
            print(line, flush=True)
        self._ground.service.notify(f"READY=1\nSTATUS={line}")

    def _describe(self) -> None:
        """For the command line: how to find this broker."""
        self._ground.data.write_broker_file(
            {
                "pid": os.getpid(),
                "version": VERSION,
                "host": self._ground.host,
                "port": self._ground.port,
                "runtime_directory": str(self._ground.runtime.path),
                "control_address": self._address,
                "ready": self._ready,
            }
        )

    # --- the control bus

    def _on_hello(self, identity: str) -> None:
        if identity in self._children:
            self._control.push(identity, self._health.alarms.message())

    def _tell_all(self, message: Message, *, but: Child | None = None) -> None:
        for child in self._children.values():
            if child is not but:
                self._control.push(child.identity, message)

    async def _handle(self, peer: str, message: Message) -> Message | None:
        child = self._children.get(peer)
        if child is not None:
            return self._handle_child(child, message) if child.says(message) else None
        match message.get("verb"):
            case "status":
                return describe(
                    self._ground, self._nursery, self._children.values(), self._health.alarms,
                    link_count=len(self._links), ready=self._ready, started_at_s=self._started_at_s,
                )
            case "call":
                return await self._call(message)
            case verb:
                raise ControlError(503, f"the supervisor does not know {verb!r}")

    def _handle_child(self, child: Child, message: Message) -> Message | None:
        match message["verb"]:
            case "alive":
                child.last_alive_s = time.monotonic()
            case "ready":
                child.found = child.found or message
                self._on_ready(child)
            case "links.open":
                child.takes_links = True
                child.link_address = message.get("address")
                self._guard_links(child, lambda: self._links.connect(child, self._children.values()))
            case "link.broken":
                peer = self._children[f"{message['peer_role']}-{message['peer']}"]
                if peer.takes_links and peer.incarnation == message["incarnation"]:
                    client, server = (peer, child) if message["serving"] else (child, peer)
                    self._guard_links(child, lambda: self._links.renew(client, server))
            case "link.wanted":
                self._links.want(child, self._children[f"shard-{message['shard']}"])
            case "failed":
                self._on_failed(child, str(message["text"]))
            case verb:
                raise ControlError(503, f"the supervisor does not know {verb!r}")
        return None

    def _guard_links(self, child: Child, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            text = (
                f"no memory for a link in {self._ground.runtime.shared_path} ({error.strerror}): "
                "make /dev/shm larger, or lower the setting link_ring_bytes"
            )
            if self._ready:
                logger.error("%s; %s is started again", text, child.title)
                child.kill()
            else:
                self._fail(text)

    def _on_failed(self, child: Child, text: str) -> None:
        """A child says why it ends; its exit follows."""
        if self._ready:
            logger.error("%s cannot go on: %s", child.title, text)
        else:
            self._fail(text, EXIT_CANNOT_START)

    async def _call(self, message: Message) -> Message:
        """A question of the command line to one process or to all of a role."""
        role, index = message["role"], message.get("index")
        asked = [
            child for child in self._children.values()
            if child.role == role and (index is None or child.index == index)
        ]
        if not asked:
            raise ControlError(404, f"there is no {role} {index}")

        timeout_s = min(float(message.get("timeout_s", CALL_TIMEOUT_S)), CALL_TIMEOUT_S_MAX)

        async def ask(child: Child) -> Message:
            return await self._control.ask(child.identity, message["message"], timeout_s)

        results = await asyncio.gather(*(ask(child) for child in asked), return_exceptions=True)
        answers: list[Message] = []
        for child, result in zip(asked, results, strict=True):
            if isinstance(result, ControlError):
                if len(asked) == 1:
                    raise result
                answers.append({"role": child.role, "index": child.index, "error": [result.code, result.text]})
            elif isinstance(result, BaseException):
                raise result
            else:
                answers.append({"role": child.role, "index": child.index, **result})
        return {"answers": answers}

    # --- stopping

    async def _stop_children(self) -> None:
        """Gateways close their connections, then shards sync, then the catalog ends."""
        timeout_s = self._ground.settings.shutdown_timeout_s if self._ready else KILLED_GONE_S_MAX / 2
        # A broker that never served has nothing to hand over: all at once.
        stages = STOP_ORDER if self._ready else (tuple(role for roles in STOP_ORDER for role in roles),)
        for roles in stages:
            group = [child for child in self._children.values() if child.role in roles and child.pid is not None]
            for child in group:
                child.state = "stopping"
                self._control.push(child.identity, {"verb": "stop"})
                child.kill(signal.SIGTERM)          # reaches also one that is not on the bus yet
            await self._wait_ended(group, timeout_s)
            late = [child for child in group if not child.ended.is_set()]
            for child in late:
                logger.error("%s (pid %s) did not stop within %.0f s: it is killed", child.title, child.pid, timeout_s)
                child.kill()
            await self._wait_ended(late, KILLED_GONE_S_MAX)

    @staticmethod
    async def _wait_ended(children: list[Child], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                for child in children:
                    await child.ended.wait()
        except TimeoutError:
            pass

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
