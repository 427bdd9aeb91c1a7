"""The worker processes of a run, as the coordinator has them: started, watched, ended."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import orjson

from bench.perf.board import Board
from bench.perf.environment import module_environment
from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.plan import Share
from bench.perf.processes import cpu_seconds
from bench.perf.worker import Part

END_TIMEOUT_S: Final = 10.0
"""More than a worker waits for its brokers' goodbyes."""


class Workers:
    """Owns the processes; `close` leaves none behind."""

    def __init__(self, load: Load, urls: Sequence[str], run: int, shares: Sequence[Share], board: Board) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for number, share in enumerate(shares):
                part = Part(
                    load.model_dump(mode="json"), list(urls), run, number, len(shares), board.descriptor, os.getpid(),
                    share.producers, share.consumers,
                )
                self._processes.append(_start(part))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._processes)

    def check(self) -> None:
        """LoadError with the words of a worker that ended before its time."""
        for process in self._processes:
            if process.poll() not in (None, 0):
                raise LoadError(_last_words(process))

    def cpu_seconds(self) -> list[float]:
        """Of each so far."""
        return [cpu_seconds(process.pid) or 0.0 for process in self._processes]

    def wait(self) -> None:
        """For all to end by themselves."""
        for process in self._processes:
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise LoadError("a worker does not end") from None
        self.check()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(part: Part) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.perf.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=module_environment(),
        pass_fds=(part.board,),
        process_group=0,                                # Ctrl-C is for the coordinator
    )
    assert process.stdin is not None
    try:
        with process.stdin as target:
            target.write(orjson.dumps(asdict(part)))
    except BrokenPipeError:                             # it ended at once: check() tells
        pass
    return process


def _last_words(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    try:
        return str(orjson.loads(process.stdout.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"a worker ended with exit status {process.returncode}"
