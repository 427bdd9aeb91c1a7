"""Another nursery as soon as one has died: the next process that dies need not wait for its imports.

Nothing else depends on it: a nursery that is asked and does not answer is replaced by whoever asks (broker/nursery.py).
"""
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from broker.children import RESTART_DELAY_S, SHORT_LIFE_S, describe_exit, restart_delay_s, watch
from broker.nursery import Nursery, Process

logger = logging.getLogger(__name__)


class NurseryWatch:
    """Of one run of the broker; does nothing more once it `is_stopping`."""

    def __init__(self, nursery: Nursery, loop: asyncio.AbstractEventLoop, is_stopping: Callable[[], bool]) -> None:
        self._nursery = nursery
        self._loop = loop
        self._is_stopping = is_stopping
        self._short_lives = 0

    def begin(self) -> None:
        """Looks after the nursery that there is now."""
        watched = self._nursery.process
        watch(self._loop, watched, lambda returncode: self._on_exit(watched, returncode))

    def _on_exit(self, dead: Process, returncode: int) -> None:
        if self._is_stopping():
            return
        if self._nursery.process is not dead:       # somebody has asked it before this was heard of
            self.begin()
            return
        lived_s = time.monotonic() - self._nursery.started_at_s
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        delay_s = restart_delay_s(self._short_lives)
        logger.error(
            "the nursery (pid %s) %s; another one is started%s", dead.pid, describe_exit(returncode),
            f" in {delay_s:.1f} s, as it died {self._short_lives} times in a row" if delay_s else "",
        )
        if delay_s:
            self._loop.call_later(delay_s, self._replace, dead)
        else:
            self._replace(dead)

    def _replace(self, dead: Process) -> None:
        if self._is_stopping():
            return
        if self._nursery.process is dead:
            try:
                self._nursery.renew()
            except OSError as error:
                self._short_lives += 1
                logger.error("no nursery can be started: %s", error.strerror)
                self._loop.call_later(max(RESTART_DELAY_S, restart_delay_s(self._short_lives)), self._replace, dead)
                return
        self.begin()
