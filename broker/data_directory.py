"""The data directory: its identity and version, and the lock that keeps a second broker out.

    identity.json   {"format": 1, "id": "5f0c..."}: made once, never changed; independent of the host
    broker.json     of the running broker: pid, address, runtime directory; read by the command line
    the rest        belongs to the catalog and the shards

The lock is a flock on the directory itself, and every process of the broker holds it: it is free only when the last
one is gone, so nobody opens a log that a dying shard may still write. Nothing is written before the version is known.
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any, Final

import orjson

from bus.context import StartError

FORMAT: Final = 1
IDENTITY_FILE: Final = "identity.json"
BROKER_FILE: Final = "broker.json"
LOCK_WAIT_S_MAX: Final = 3.0
"""The children of a broker that was killed follow it within moments; a living one keeps its lock."""
LOCK_RETRY_S: Final = 0.05
START_FREE_BYTES_MIN: Final = 1024 * 1024
"""With less the catalog cannot even be opened. Not more: a full broker must start, so that consumers can empty it."""
FOREIGN_NAMES_ALLOWED: Final = frozenset({"lost+found", BROKER_FILE})


class DataDirectory:
    """The locked data directory of this broker."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it; StartError says why it cannot be used."""
        self.path = path.absolute()
        self.lock_descriptor = _open_and_lock(self.path)
        try:
            self.identity = self._identity()
        except BaseException:
            os.close(self.lock_descriptor)
            raise

    @property
    def short_id(self) -> str:
        """Names this directory in paths elsewhere; differs between copies of one directory on a machine."""
        return hashlib.sha256(f"{self.identity}:{self.path.resolve()}".encode()).hexdigest()[:8]

    def write_broker_file(self, description: dict[str, Any]) -> None:
        _write(self.path / BROKER_FILE, orjson.dumps(description, option=orjson.OPT_INDENT_2), synced=False)

    def close(self) -> None:
        """The broker has stopped."""
        (self.path / BROKER_FILE).unlink(missing_ok=True)
        os.close(self.lock_descriptor)

    def _identity(self) -> str:
        file = self.path / IDENTITY_FILE
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            _check_foreign(self.path)
            _check_writable(self.path)
            return self._create(file)
        except OSError as error:
            raise StartError(f"{file} cannot be read: {error.strerror}; check its owner and mode") from None
        try:
            document = orjson.loads(text)
            data_format, identity = int(document["format"]), str(document["id"])
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{file} is damaged; restore it from a backup of this data directory") from None
        if data_format != FORMAT:
            raise StartError(
                f"data directory {self.path} has format {data_format}, this version of Warren reads format {FORMAT}: "
                "start the version that wrote it, or give another directory with --data"
            )
        _check_writable(self.path)
        return identity

    def _create(self, file: Path) -> str:
        identity = secrets.token_hex(16)
        _write(file, orjson.dumps({"format": FORMAT, "id": identity}) + b"\n", synced=True)
        return identity


def read_broker_file(path: Path) -> dict[str, Any] | None:
    """What the running broker on this data directory said of itself; None where there is none."""
    try:
        document = orjson.loads((path / BROKER_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def explain(error: OSError, path: Path) -> StartError:
    """An error of the operating system as a sentence with a way out."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StartError(f"no space left on the disk of {path}: free some, or give another directory")
        case errno.EACCES | errno.EPERM:
            return StartError(f"no permission to write to {path}: change its owner or mode, or give another directory")
        case errno.EROFS:
            return StartError(f"{path} is on a read-only file system: remount it, or give another directory")
        case errno.EMFILE | errno.ENFILE:
            return StartError("too many open files: raise the limit (ulimit -n, LimitNOFILE=)")
        case _:
            return StartError(f"{path}: {error.strerror or error}")


def _open_and_lock(path: Path) -> int:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError):
        raise StartError(f"{path} is not a directory; give one with --data") from None
    except OSError as error:
        raise explain(error, path) from None
    deadline = time.monotonic() + LOCK_WAIT_S_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(LOCK_RETRY_S)
                continue
            os.close(descriptor)
            running = read_broker_file(path)
            who = f" (pid {running['pid']})" if running and "pid" in running else ""
            raise StartError(
                f"data directory {path} is in use by another broker{who}: "
                "stop it, or give another directory with --data"
            ) from None


def _check_foreign(path: Path) -> None:
    """A directory without an identity must be empty."""
    foreign = {entry.name for entry in path.iterdir()} - FOREIGN_NAMES_ALLOWED
    if foreign:
        raise StartError(
            f"data directory {path} holds {sorted(foreign)[0]!r} but no {IDENTITY_FILE}: it is not Warren's; "
            "give an empty directory with --data"
        )


def _check_writable(path: Path) -> None:
    """Before any process starts: does this disk still take files?"""
    file = path / f".writable-{os.getpid()}"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain(error, path) from None
    try:
        os.posix_fallocate(descriptor, 0, START_FREE_BYTES_MIN)
    except OSError as error:
        raise explain(error, path) from None
    finally:
        os.close(descriptor)
        file.unlink(missing_ok=True)


def _write(file: Path, data: bytes, *, synced: bool) -> None:
    temporary = file.with_name(f".{file.name}.new")
    try:
        with open(temporary, "wb") as out:
            out.write(data)
            out.flush()
            if synced:
                os.fsync(out.fileno())
        os.replace(temporary, file)
        if synced:
            descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise explain(error, file.parent) from None
