"""The nursery: the process from which catalog, gateways and shards are forked.

It has imported once what they need, so their code and its data are in memory once for all of them, and none of them
takes the time to load it. It is forked from the supervisor before that has a thread, a loop or a socket, inherits the
descriptors that every process of the broker is given, under their numbers, and does nothing but fork. Should it
die, the supervisor starts another one at once (`python -P -m broker.nursery`; broker/nursery_watch.py), which imports
everything by itself.

A new process is forked twice: the process in between ends at once, so the new one becomes the child of the
supervisor, which is a subreaper. The supervisor sees the end of its children, and they die with it, as if it had
forked them. It begins when the supervisor has been told of it, and never where the nursery dies before that: the
supervisor asks the next nursery for another one then. Requests and answers are JSON, one at a time over a pair of
sockets:

    {"role": "shard", "index": 0, "parameters": {...}}      {"pid": 4711} or {"errno": 11}
"""
from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
import setproctitle

from broker import process

logger = logging.getLogger(__name__)

TITLE: Final = "warren: nursery"
REQUEST_BYTES_MAX: Final = 1 << 20
"""Settings, and a line for each of at most 512 doorbells."""
ANSWER_BYTES_MAX: Final = 256
ANSWER_S_MAX: Final = 10.0
"""A fork takes milliseconds, the imports of a new nursery up to a second on a slow machine."""
SOCKET_BUFFER_BYTES: Final = 2 * REQUEST_BYTES_MAX
PID_BYTES: Final = 8
GO: Final = b"!"


class Process:
    """A child of this process that somebody else has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None      # as of subprocess: negative is the signal that killed it

    def poll(self) -> int | None:
        """How it ended; None while it has not."""
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        code = self._look(0)
        assert code is not None
        return code

    def send_signal(self, signal_number: int) -> None:
        if self.poll() is None:                 # until then its number is not given to another
            os.kill(self.pid, signal_number)

    def _look(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Nursery:
    """The supervisor's side of it. `descriptors`: what the processes of the broker inherit."""

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._descriptors = list(descriptors)
        process.adopt_orphans()
        warm()
        self.restarts = 0
        self.started_at_s = time.monotonic()
        self._process, self._socket = self._fork()

    def start(self, role: str, index: int, parameters: dict[str, Any]) -> Process:
        """A new process of the broker. OSError where the system does not let it."""
        request = orjson.dumps({"role": role, "index": index, "parameters": parameters})
        try:
            answer = self._ask(request)
        except OSError as error:
            logger.error("the nursery (pid %s) is gone: another one is started", self.pid, exc_info=error)
            self.renew()
            answer = self._ask(request)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return Process(answer["pid"])

    @property
    def process(self) -> Process:
        """The one that is asked now."""
        return self._process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """It ends; what it has forked does not."""
        self._socket.close()
        self._process.wait()

    def _ask(self, request: bytes) -> dict[str, Any]:
        self._socket.send(request)
        answer = self._socket.recv(ANSWER_BYTES_MAX)
        if not answer:
            raise ConnectionResetError("no answer")
        found: dict[str, Any] = orjson.loads(answer)
        return found

    def _fork(self) -> tuple[Process, socket.socket]:
        supervisor_pid = os.getpid()
        ours, theirs = _sockets()
        pid = os.fork()
        if pid == 0:
            _run(lambda: _serve(theirs, supervisor_pid, self._descriptors))
        theirs.close()
        return Process(pid), ours

    def renew(self) -> None:
        """Another one in its place, which imports what it needs while this goes on. OSError where there can be none."""
        self._socket.close()
        self._process.send_signal(signal.SIGKILL)       # also one that hangs
        self._process.wait()
        self._socket, theirs = _sockets()
        with theirs:
            started = subprocess.Popen(
                [sys.executable, "-P", "-m", "broker.nursery", str(theirs.fileno()), str(os.getpid()),
                 *map(str, self._descriptors)],
                stdin=subprocess.DEVNULL, env=_environment(), pass_fds=(*self._descriptors, theirs.fileno()),
            )
        started.returncode = 0                          # ours to wait for
        self._process = Process(started.pid)
        self.restarts += 1
        self.started_at_s = time.monotonic()


def warm() -> None:
    """Imports what the processes of the broker need, and makes it theirs for good."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start a thread per core, for nothing
    gc.disable()                                        # a collection would only find what is being imported
    for name in process.ROLE_MODULES.values():
        # One that cannot be imported is told by the process that needs it.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.enable()
    gc.collect()
    gc.freeze()                                         # a later collection would write to all of it, and unshare it


def main(arguments: Sequence[str]) -> NoReturn:
    """The successor of a nursery that died: its socket, the supervisor's pid, and the descriptors to inherit."""
    descriptor, supervisor_pid, *descriptors = map(int, arguments)
    asked = socket.socket(fileno=descriptor)
    warm()
    _run(lambda: _serve(asked, supervisor_pid, descriptors))


def _sockets() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(ANSWER_S_MAX)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return ours, theirs


def _environment() -> dict[str, str]:
    """With the place of a bare checkout on the module path, as -P leaves the working directory out."""
    environment = dict(os.environ)
    root = Path(__file__).resolve().parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), environment.get("PYTHONPATH"))))
    return environment


def _run(work: Callable[[], int]) -> NoReturn:
    """Ends this process with the work: what the one it was forked from has on its stack is not its own to finish."""
    code = process.EXIT_FAILED
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _serve(asked: socket.socket, supervisor_pid: int, descriptors: Sequence[int]) -> int:
    """Forks what it is asked to, until the supervisor is gone."""
    process.die_with(supervisor_pid)
    setproctitle.setproctitle(TITLE)
    for number in (signal.SIGINT, signal.SIGTERM):      # to the whole group; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    _redirect_standard()
    _close_all_but({0, 1, 2, asked.fileno(), *descriptors})
    asked.setblocking(True)
    while request := asked.recv(REQUEST_BYTES_MAX):
        with _Pipe() as go:
            try:
                answer = {"pid": _fork_twice(asked, orjson.loads(request), go)}
            except OSError as error:
                answer = {"errno": error.errno or errno.EAGAIN}
            asked.send(orjson.dumps(answer))
            os.write(go.writing, GO)
    return 0


def _redirect_standard() -> None:
    """Nothing to read; what is printed goes where the log goes."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def _close_all_but(kept: set[int]) -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept:
            with contextlib.suppress(OSError):          # the one that the list was read from
                os.close(descriptor)


def _fork_twice(asked: socket.socket, request: dict[str, Any], go: _Pipe) -> int:
    """The pid of the new process, which is the supervisor's child when this returns. It waits for `go`."""
    with _Pipe() as word:
        between = os.fork()
        if between == 0:
            _run(lambda: _between(asked, request, go, word))
        os.waitpid(between, 0)
        number = int.from_bytes(os.read(word.reading, PID_BYTES), "little", signed=True)
    if number <= 0:
        raise OSError(-number, os.strerror(-number))
    return number


def _between(asked: socket.socket, request: dict[str, Any], go: _Pipe, word: _Pipe) -> int:
    """`word` is where the pid goes."""
    # Ignored until now; from here on a stop that comes too early waits until the new process can heed it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        pid = os.fork()
    except OSError as error:
        pid = -(error.errno or errno.EAGAIN)
    if pid == 0:
        os.close(go.writing)
        told = os.read(go.reading, len(GO))
        for descriptor in (go.reading, word.reading, word.writing, asked.detach()):
            os.close(descriptor)
        if not told:                                    # the nursery is gone, and nobody knows of this process
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _run(lambda: process.main(request["role"], request["index"], request["parameters"]))
    os.write(word.writing, pid.to_bytes(PID_BYTES, "little", signed=True))
    return 0


class _Pipe:
    def __enter__(self) -> _Pipe:
        self.reading, self.writing = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reading)
        os.close(self.writing)


if __name__ == "__main__":
    main(sys.argv[1:])
