"""The directories that live as long as a run of the broker: sockets, and memory that its processes share.

The runtime directory holds Unix sockets, so its path must be short; it is made with mode 0700 and refused where it
belongs to somebody else. Shared memory goes to /dev/shm where that is large enough, else to the runtime directory.
Both are emptied at the start (the broker before may have been killed) and removed at the stop. What brokers on other
data directories left in /dev/shm when they were killed is removed too: it is memory that nobody would give back.
"""
from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from broker.data_directory import explain
from bus.context import StartError

logger = logging.getLogger(__name__)

SOCKET_PATH_BYTES_MAX: Final = 107
SOCKET_NAME_BYTES_MAX: Final = len("/link-255.4294967295")
SHARED_MEMORY: Final = Path("/dev/shm")
SHARED_MEMORY_SPARE_BYTES: Final = 16 * 1024 * 1024
"""What must stay free in /dev/shm beside the links."""
ABANDONED_AFTER_S: Final = 60.0
"""A directory in /dev/shm that nobody holds goes then: a broker that is just starting may not hold its own yet."""


class RuntimeDirectory:
    """Both directories, empty and ours."""

    def __init__(self, short_id: str, environment: Mapping[str, str], shared_bytes: int) -> None:
        self.path = _choose(short_id, environment)
        self._lock_descriptor = _claim(self.path)
        _sweep(self.path)
        self._held: list[int] = []
        _sweep_abandoned(SHARED_MEMORY)
        self.shared_path = self._shared(short_id, shared_bytes)

    def _shared(self, short_id: str, shared_bytes: int) -> Path:
        path = SHARED_MEMORY / f"warren-{short_id}"
        fallback = self.path / "shared"
        if path == self.path:               # XDG_RUNTIME_DIR=/dev/shm
            path = fallback
        try:
            shutil.rmtree(path, ignore_errors=True)
            free = os.statvfs(SHARED_MEMORY)
            free_bytes = free.f_bavail * free.f_frsize
            if free_bytes < shared_bytes + SHARED_MEMORY_SPARE_BYTES:
                logger.warning(
                    "%s has %d MiB free and the links need %d MiB: they are made in %s instead, which is slower",
                    SHARED_MEMORY, free_bytes >> 20, (shared_bytes + SHARED_MEMORY_SPARE_BYTES) >> 20, fallback,
                )
            else:
                path.mkdir(mode=0o700)
                if (held := _hold(path)) is not None:
                    self._held.append(held)
                return path
        except OSError as error:
            logger.warning("%s cannot be used (%s): links are made in %s instead", path, error.strerror, fallback)
        fallback.mkdir(mode=0o700)
        return fallback

    def close(self) -> None:
        shutil.rmtree(self.shared_path, ignore_errors=True)
        _sweep(self.path)
        with contextlib.suppress(OSError):
            self.path.rmdir()
        for descriptor in (*self._held, self._lock_descriptor):
            os.close(descriptor)


def _choose(short_id: str, environment: Mapping[str, str]) -> Path:
    candidates = []
    if given := environment.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        candidates.append(Path(given) / short_id)
    if given := environment.get("XDG_RUNTIME_DIR", ""):
        candidates.append(Path(given) / f"warren-{short_id}")
    for candidate in candidates:
        room = len(os.fsencode(candidate)) + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX
        if room and candidate.is_absolute() and os.access(candidate.parent, os.W_OK | os.X_OK):
            return candidate
    return Path(f"/tmp/warren-{os.getuid()}-{short_id}")


def _claim(path: Path) -> int:
    """Makes it if need be, and makes sure that it is nobody else's."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise explain(error, path) from None
    status = os.fstat(descriptor)
    if status.st_uid != os.getuid():
        os.close(descriptor)
        raise StartError(f"runtime directory {path} belongs to user id {status.st_uid}, not to this user: remove it")
    if stat.S_IMODE(status.st_mode) != 0o700:
        os.fchmod(descriptor, 0o700)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartError(f"runtime directory {path} is in use by another broker: stop it first") from None
    return descriptor


def _hold(path: Path) -> int | None:
    """The directory, locked for as long as this process lives; None where another process holds it or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep_abandoned(parent: Path) -> None:
    """Removes what killed brokers of this user left there."""
    with contextlib.suppress(OSError):
        for path in parent.glob("warren-*"):
            status = path.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < ABANDONED_AFTER_S:
                continue
            if (held := _hold(path)) is not None:
                logger.info("removing %s, left by a broker that was killed", path)
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)


def _sweep(path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
