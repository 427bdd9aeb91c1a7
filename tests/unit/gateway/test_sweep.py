"""The gateway's tick."""
import asyncio
from unittest.mock import Mock

import pytest

import gateway.worker
from gateway.worker import Sweep


async def test_a_tick_that_fails_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.worker, "TICK_S", 0.001)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, details: None)
    seen: asyncio.Queue[None] = asyncio.Queue()
    ticks = iter([ValueError("a bug")])

    def tick() -> None:
        seen.put_nowait(None)
        error = next(ticks, None)
        if error is not None:
            raise error

    sweep = Sweep(loop, Mock(tick=tick))
    async with asyncio.timeout(5):
        await seen.get()
        await seen.get()
    sweep.cancel()
