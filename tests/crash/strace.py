"""What the processes of a broker asked of the kernel, in the order of time: strace's record, read into events."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness.warren import wait_until

CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fdatasync,fsync,msync,io_uring_enter"
LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
CALL = re.compile(r"^(\w+)\((\d+)<(.*?)>[,)]")
RESULT = re.compile(r"= (-?\d+)(?: .*?)?(?: <([\d.]+)>)?$")


def available() -> bool:
    """Whether strace is installed and may trace."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    )


@dataclass(frozen=True)
class Call:
    """One system call on a file descriptor, from its start to its end."""

    pid: int
    name: str
    target: str
    began_s: float
    ended_s: float
    result: int
    text: str


class Trace:
    """strace attached to running processes, with all their threads."""

    def __init__(self, pids: list[int], path: Path) -> None:
        self.path = path
        command = [
            "strace",
            "-f",
            "-yy",
            "-ttt",
            "-T",
            "-xx",
            "-s",
            "128",
            "-e",
            f"trace={CALLS}",
            "-e",
            "signal=none",
            "-o",
            str(path),
        ]
        for pid in pids:
            command += ["-p", str(pid)]
        errors = path.with_suffix(".err")
        with open(errors, "wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, stdin=subprocess.DEVNULL)
        wait_until(lambda: errors.read_bytes().count(b" attached") >= len(pids), "strace")

    def stop(self) -> list[Call]:
        """Detach; the calls in the order of their end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(10)
        return parse(self.path.read_text("utf-8", "replace"))


def parse(text: str) -> list[Call]:
    """Calls that ended; those that another thread interrupted in the record are put together."""
    unfinished: dict[int, tuple[float, str]] = {}
    calls = []
    for line in text.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        pid, at_s, rest = int(found[1]), float(found[2]), found[3]
        began_s = at_s
        if rest.endswith("<unfinished ...>"):
            unfinished[pid] = (at_s, rest.removesuffix("<unfinished ...>").rstrip())
            continue
        resumed = re.match(r"<\.\.\. (\w+) resumed>(.*)$", rest)
        if resumed is not None:
            began_s, head = unfinished.pop(pid, (at_s, f"{resumed[1]}("))
            rest = head + resumed[2]
        call, result = CALL.match(rest), RESULT.search(rest)
        if call is None or result is None:
            continue
        ended_s = began_s + float(result[2] or 0)
        calls.append(
            Call(pid, call[1], call[3], began_s, max(ended_s, at_s if resumed else ended_s), int(result[1]), rest)
        )
    return sorted(calls, key=lambda one: one.ended_s)
