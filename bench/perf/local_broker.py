"""A Warren of one's own for a measurement: started on a free port, its processes known, then ended."""
from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench.perf.environment import module_environment
from bench.perf.errors import LoadError
from bench.perf.processes import TITLE_PREFIX, ProcessTree, title

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 40.0
READ_BYTES: Final = 4096
LOG_LINES_TOLD: Final = 5
READY: Final = re.compile(r" ready on \S+:(\d+) ")


class LocalBroker:
    """Owns the processes, not the directory. `started_s`: how long it took to be ready."""

    def __init__(self, directory: Path, gateways: int, shards: int) -> None:
        """Ready when this returns."""
        self.gateways, self.shards = gateways, shards
        self._log = directory / "log"
        command = [
            sys.executable, "-P", "-m", "broker.main", "serve", "--data", str(directory / "data"),
            "--host", "127.0.0.1", "--port", "0", "--gateways", str(gateways), "--shards", str(shards),
            "--log-level", "warning",
        ]
        environment = {name: value for name, value in module_environment().items() if not name.startswith("WARREN_")}
        began_s = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment,
                process_group=0)
        try:
            self.port = self._wait_ready()
            self.started_s = time.monotonic() - began_s
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LocalBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self.port}"

    def processes(self) -> dict[str, int]:
        """`gateway 0`, `shard 1`, `catalog`, `supervisor`: their process ids."""
        titles = {pid: title(pid) for pid in ProcessTree([self.pid]).pids()}
        prefix = TITLE_PREFIX.decode()
        return {name.removeprefix(prefix): pid for pid, name in titles.items() if name.startswith(prefix)}

    def kill(self) -> None:
        """All of its processes, without a word."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _wait_ready(self) -> int:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        assert self._process.stdout is not None
        said = b""
        while True:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
            data = os.read(self._process.stdout.fileno(), READ_BYTES) if readable else b""
            said += data
            found = READY.search(said.decode("utf-8", "replace"))
            if found is not None:
                return int(found[1])
            if not data:                                # it has ended, or the time is over
                told = " / ".join(self._log.read_text("utf-8", "replace").splitlines()[-LOG_LINES_TOLD:])
                raise LoadError(f"a Warren with {self.gateways} gateways and {self.shards} shards does not start: "
                                f"{told}")
