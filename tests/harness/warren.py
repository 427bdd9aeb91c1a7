"""Warren as a set of real processes: start, ask, stop, kill by role, restart.

Owns one broker on a data directory and a free port of its own; its output is kept in files and shown with a failed
test. Everything is done from outside: by the command line, by signals, by TCP.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from click.testing import CliRunner

from tests.harness.accounts import ACCOUNTS, GUEST, VHOST_LIMITS, VHOSTS
from tests.harness.client import Endpoint

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
GONE_TIMEOUT_S = 10.0
POLL_S = 0.02
LOG_LINES_SHOWN = 60
READY = re.compile(rb" ready on ([^ ]+):(\d+) ")


def environment(**more: str) -> dict[str, str]:
    """The environment of a broker: ours without any setting of Warren."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")} | more


def program() -> list[str]:
    """The command `warren` as this checkout has it."""
    return [sys.executable, "-P", "-m", "broker.main"]


def run_command(*arguments: str, timeout_s: float = 30.0, **more: str) -> subprocess.CompletedProcess[str]:
    """One command of the command line in a process of its own."""
    return subprocess.run(
        [*program(), *arguments],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT), **more),
        text=True,
        capture_output=True,
        timeout=timeout_s,
    )


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Poll for something that no frame announces; its value once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(POLL_S)
    return value


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


class Warren:
    """One broker."""

    running: ClassVar[list[Warren]] = []

    def __init__(
        self,
        directory: Path,
        *,
        gateways: int | None = 2,
        shards: int | None = 2,
        wrapper: list[str] | None = None,
        environment: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        """None: as many as the broker chooses. `settings` are given by the environment: disk_free_limit_bytes=1."""
        self.directory = directory
        self.data = directory / "data"
        self.host = "127.0.0.1"
        self.port = 0
        self.gateways, self.shards = gateways, shards
        self._wrapper = wrapper or []
        self._settings = {f"WARREN_{name.upper()}": str(value) for name, value in settings.items()} | (
            environment or {}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    # -- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Warren:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start and wait for the ready line; the port stays the same over restarts."""
        self.begin()
        self.wait_ready(timeout_s)

    def begin(self) -> None:
        """Start without waiting."""
        self._starts += 1
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            *self._wrapper,
            *program(),
            "serve",
            "--data",
            str(self.data),
            "--host",
            self.host,
            "--port",
            str(self.port),
        ]
        for flag, count in (("--gateways", self.gateways), ("--shards", self.shards)):
            command += [flag, str(count)] if count is not None else []
        with open(self._output_path, "wb") as output, open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(PYTHONPATH=str(ROOT), **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        Warren.running.append(self)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + timeout_s
        while (found := READY.search(self._output_path.read_bytes())) is None:
            if process.poll() is not None:
                self._forget()
                raise RuntimeError(
                    f"the broker ended with {process.returncode} before it was ready:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                self.kill_all()
                raise TimeoutError(f"the broker is not ready after {timeout_s} s:\n{self.log_tail()}")
            time.sleep(POLL_S)
        self.port = int(found[2])

    def stop(self) -> int | None:
        """SIGTERM, and wait for the end; its exit code."""
        process = self._process
        if process is None:
            return None
        pids = self._pids_known()
        supervisor = self._supervisor_pid(process)
        if alive(supervisor):
            os.kill(supervisor, signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        self._forget()
        self._wait_gone(pids)
        return code

    def kill_all(self) -> None:
        """kill -9 of every process of the broker at once."""
        process = self._process
        if process is None:
            return
        pids = self._pids_known()
        for pid in pids or [process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        self._forget()
        self._wait_gone(pids)

    def kill(self, role: str, index: int = 0) -> int:
        """kill -9 of one process; its pid."""
        pid = self.pid(role, index)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), f"the end of {role} {index}", GONE_TIMEOUT_S)
        return pid

    def wait_back(self, role: str, index: int, old_pid: int, timeout_s: float = 10.0) -> float:
        """Wait until a killed process is there again and ready; how long that took."""
        began = time.monotonic()

        def back() -> bool:
            one = self.process(role, index)
            return one["pid"] not in (None, old_pid) and one["state"] == "ready"

        wait_until(back, f"the return of {role} {index}", timeout_s)
        return time.monotonic() - began

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port, "warren")

    @property
    def supervisor_pid(self) -> int:
        assert self._process is not None
        return self._supervisor_pid(self._process)

    def status(self) -> dict[str, Any]:
        """`warren status --format json`."""
        answer: dict[str, Any] = json.loads(self.command("status", "--format", "json"))
        return answer

    def process(self, role: str, index: int = 0) -> dict[str, Any]:
        """The entry of one process in the status."""
        return next(one for one in self.status()["processes"] if (one["role"], one["index"]) == (role, index))

    def pid(self, role: str, index: int = 0) -> int:
        return int(self.process(role, index)["pid"])

    def listing(self, what: str, *arguments: str) -> list[dict[str, Any]]:
        """`warren list ... --format json`."""
        rows: list[dict[str, Any]] = json.loads(self.command("list", what, "--format", "json", *arguments))
        return rows

    def command(self, *arguments: str) -> str:
        """A command of the command line, run in this process to be quick."""
        from broker.main import cli

        result = CliRunner().invoke(cli, [*arguments, "--data", str(self.data)], env={"WARREN_DATA": None})
        if result.exit_code != 0:
            raise RuntimeError(f"warren {' '.join(arguments)}: {result.output}{result.exception or ''}")
        return result.stdout

    def memory_bytes(self) -> dict[str, int]:
        """Resident memory of each process, by role and index; shared pages count in each."""
        found = {}
        for one in self.status()["processes"]:
            pages = int(Path(f"/proc/{one['pid']}/statm").read_text().split()[1])
            found[f"{one['role']}-{one['index']}"] = pages * os.sysconf("SC_PAGE_SIZE")
        return found

    def create_accounts(self) -> None:
        """The users, virtual hosts and rights of accounts.py."""
        for name in VHOSTS:
            if name != "/":
                self.command("add-vhost", name)
        for account in ACCOUNTS:
            if account is not GUEST:
                tags = [part for tag in account.tags for part in ("--tag", tag)]
                self.command("add-user", account.name, "--password", account.password, *tags)
            for vhost, rights in account.permissions.items():
                self.command(
                    "set-permissions", "--vhost", vhost, account.name, rights.configure, rights.write, rights.read
                )
            for exchange, topic in account.topic_permissions.items():
                self.command("set-topic-permissions", account.name, exchange, topic.write, topic.read)
            if account.limits:
                self.command("set-user-limits", account.name, json.dumps(account.limits))
        for vhost, limits in VHOST_LIMITS.items():
            self.command("set-vhost-limits", "--vhost", vhost, json.dumps(limits))

    # -- output -----------------------------------------------------------------------------------------------------

    @property
    def log_path(self) -> Path:
        return self.directory / "server.log"

    @property
    def _output_path(self) -> Path:
        return self.directory / f"server-{self._starts}.out"

    def log_tail(self, lines: int = LOG_LINES_SHOWN) -> str:
        """The last lines of the log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])

    def _supervisor_pid(self, process: subprocess.Popen[bytes]) -> int:
        if not self._wrapper:
            return process.pid
        description = (
            json.loads((self.data / "broker.json").read_text()) if (self.data / "broker.json").exists() else {}
        )
        return int(description.get("pid", process.pid))

    def _pids_known(self) -> list[int]:
        if self._process is None or not alive(self.supervisor_pid):
            return []
        try:
            return [one["pid"] for one in self.status()["processes"] if one["pid"] is not None]
        except (RuntimeError, ValueError, OSError):
            return []

    def _wait_gone(self, pids: list[int]) -> None:
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}", GONE_TIMEOUT_S)

    def _forget(self) -> None:
        self._process = None
        if self in Warren.running:
            Warren.running.remove(self)
