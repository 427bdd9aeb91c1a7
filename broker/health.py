"""How the broker is: once a second memory and disk are compared with their limits, and children must have answered.

Raises and clears the alarms, kills a child that is silent for too long (the supervisor starts it again), and feeds
systemd's watchdog only while all children answer.
"""
from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from broker.alarms import CHECK_INTERVAL_S, Alarms, free_bytes, machine_memory_bytes, memory_used_bytes
from broker.children import Child
from broker.ground import Ground
from broker.nursery import Nursery
from bus.pace import until_next

logger = logging.getLogger(__name__)

ANSWERS_WITHIN_S: Final = 10.0
"""A child that was silent for longer keeps the watchdog from being fed; `silence_s_max` later kills it."""


class Health:
    """`tell` sends a message to all children."""

    def __init__(
        self, ground: Ground, nursery: Nursery, children: Iterable[Child], tell: Callable[[dict[str, object]], None]
    ) -> None:
        settings = ground.settings
        self._ground = ground
        self._nursery = nursery
        self._children = list(children)
        self._tell = tell
        self.alarms = Alarms(int(machine_memory_bytes() * settings.memory_watermark), settings.disk_free_limit_bytes)

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = time.monotonic()
            wait_s = until_next(loop.time(), CHECK_INTERVAL_S)
            await asyncio.sleep(wait_s)
            held_up_s = time.monotonic() - began_s - wait_s
            self.check_alarms()
            self.check_silence(held_up_s)

    def check_alarms(self) -> None:
        pids = [os.getpid(), *(child.pid for child in self._children if child.pid is not None)]
        used = memory_used_bytes(self._nursery.pid, pids, self._ground.runtime.shared_path)
        try:
            free = free_bytes(self._ground.data.path)
        except OSError as error:
            logger.error("the free space of the data directory cannot be read: %s", error)
            free = 0
        if self.alarms.check(used, free):
            logger.warning(
                "alarms: memory %s, disk %s", _raised(self.alarms.memory), _raised(self.alarms.disk),
                extra={"fields": {
                    "memory_used_bytes": used, "memory_bytes_max": self.alarms.memory_bytes_max,
                    "disk_free_bytes": free, "disk_free_limit_bytes": self.alarms.disk_free_limit_bytes,
                }},
            )
            self._tell(self.alarms.message())

    def _silent_s(self, child: Child) -> float:
        """How long a serving child has said nothing. One that starts may be busy with its recovery."""
        return time.monotonic() - child.last_alive_s if child.state == "ready" else 0.0

    def check_silence(self, held_up_s: float) -> None:
        """Kills who has been silent for too long. While this process was itself held up it heard nobody, and what they
        said meanwhile may come behind this: that time is nobody's silence."""
        for child in self._children:
            child.last_alive_s += held_up_s
            silent_s = self._silent_s(child)
            if silent_s > self._ground.settings.silence_s_max:
                logger.error("%s (pid %s) has not answered for %.0f s: it is killed", child.title, child.pid, silent_s)
                child.kill()

    async def feed_watchdog(self, interval_s: float) -> None:
        """Until it is cancelled."""
        while True:
            if all(self._silent_s(child) < ANSWERS_WITHIN_S for child in self._children):
                self._ground.service.notify("WATCHDOG=1")
            await asyncio.sleep(interval_s)


def _raised(alarm: bool) -> str:
    return "raised" if alarm else "clear"
