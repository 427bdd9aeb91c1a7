"""The supervisor's children: starting one, noticing its end, and how long to wait before the next try.

Owns the handles of the processes; decides nothing about links or readiness.
"""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from broker.nursery import Nursery, Process

State = Literal["down", "starting", "ready", "stopping"]

SHORT_LIFE_S: Final = 5.0
"""A process that lived longer than this is started again at once when it dies."""
SHORT_LIVES_FREE: Final = 3
"""So many short lives in a row are an accident; more are a fault that haste does not mend."""
RESTART_DELAY_S: Final = 0.1
RESTART_DELAY_S_MAX: Final = 5.0
DELAY_DOUBLINGS_MAX: Final = 10


def restart_delay_s(short_lives: int) -> float:
    """The pause before the next start, after so many short lives in a row."""
    if short_lives <= SHORT_LIVES_FREE:
        return 0.0
    doublings = min(short_lives - SHORT_LIVES_FREE - 1, DELAY_DOUBLINGS_MAX)
    return min(RESTART_DELAY_S_MAX, RESTART_DELAY_S * 2.0 ** doublings)


@dataclass
class Child:
    """One role and index, through all its incarnations."""

    role: str
    index: int
    incarnation: int = 0
    state: State = "down"
    process: Process | None = None
    started_at_s: float = 0.0               # monotonic, as all times here
    died_at_s: float | None = None
    last_alive_s: float = 0.0
    short_lives: int = 0
    restarts: int = 0
    takes_links: bool = False               # said links.open
    link_address: str | None = None         # where its ZeroMQ links are
    found: dict[str, Any] = field(default_factory=dict)     # at the start of the first incarnation that got ready
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def identity(self) -> str:
        """Its name on the control bus."""
        return self.role if self.role == "catalog" else f"{self.role}-{self.index}"

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.role if self.role == "catalog" else f"{self.role} {self.index}"

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def begin(self, nursery: Nursery, parameters: dict[str, Any], now_s: float) -> None:
        """Starts the next incarnation. OSError where the system does not let it."""
        self.process = nursery.start(self.role, self.index, {**parameters, "incarnation": self.incarnation + 1})
        self.incarnation += 1
        self.state = "starting"
        self.started_at_s = self.last_alive_s = now_s
        self.takes_links = False
        self.link_address = None
        self.ended.clear()

    def finish(self, now_s: float) -> None:
        """It has ended."""
        self.short_lives = self.short_lives + 1 if now_s - self.started_at_s < SHORT_LIFE_S else 0
        self.died_at_s = now_s
        self.state = "down"
        self.takes_links = False
        self.process = None
        self.ended.set()

    def says(self, message: Mapping[str, Any]) -> bool:
        """Whether a message is of the process that there is now. The last words of one that died may be heard when it
        has been seen to end, and even when its successor has begun."""
        return self.process is not None and message["own_incarnation"] == self.incarnation

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(signal_number)


def watch(
    loop: asyncio.AbstractEventLoop, process: Process, on_exit: Callable[[int], None]
) -> None:
    """Calls `on_exit(returncode)` from the loop when the process has ended."""
    descriptor = os.pidfd_open(process.pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        on_exit(process.wait())

    loop.add_reader(descriptor, ended)


def describe_exit(returncode: int) -> str:
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = str(-returncode)
        return f"was killed by {name}"
    return f"ended with exit code {returncode}"
