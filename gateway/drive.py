"""Runs an asynchronous handler at once, as far as it gets, without a task.

Most handlers wait for one answer of a shard. A task would cost two turns of the
loop more than the answer needs, so the first step runs right here and every
further one in the callback of the future that the handler waits for. Handlers
may only await futures (and coroutines that do); what needs the current task,
such as asyncio.timeout, goes into a task of its own, which is a future too.
"""
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Drive:
    """One handler under way. `on_done` is called once, with its exception or None, unless the first step ended it."""

    __slots__ = ("_coroutine", "_on_done", "done", "error")

    def __init__(self, coroutine: Coroutine[Any, None, None], on_done: Callable[[BaseException | None], None]) -> None:
        self._coroutine = coroutine
        self._on_done = on_done
        self.done = False
        self.error: BaseException | None = None

    def start(self) -> bool:
        """True: ended within the first step, `error` says how; on_done is not called then."""
        return self._step()

    def take_error(self) -> BaseException | None:
        """What ended it. Nothing here holds it any more: its traceback holds this."""
        error, self.error = self.error, None
        return error

    def _step(self) -> bool:
        try:
            future = self._coroutine.send(None)
        except StopIteration:
            self.done = True
            return True
        except Exception as error:      # the caller's to sort: a refusal or a bug
            self.done = True
            self.error = error
            return True
        if future is None:              # a bare yield, as in asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self._wake, None)
        else:
            future._asyncio_future_blocking = False
            future.add_done_callback(self._wake)
        return False

    def _wake(self, _future: "asyncio.Future[Any] | None") -> None:
        if self._step():
            self._on_done(self.take_error())
