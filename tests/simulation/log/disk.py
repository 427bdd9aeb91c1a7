"""A disk that forgets: what a power failure may leave of the files of a store.

The store works on real files in a directory, mapped as always. This disk remembers of each
file what was last synchronised and what it looked like at some moments since. After a
power failure every 512 bytes of a file are of any of these versions, its size too; a name
that was made or removed since its directory was synchronised is there or is not.
"""
from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from log.disk import Disk

SECTOR_BYTES = 512


class PowerFailure(BaseException):
    """Out of a call of the disk: the machine is off."""


@dataclass
class File:
    """One inode: what was synchronised, and what could be on the disk besides."""

    number: int
    synchronised: bytes = b""
    seen: list[bytes] = field(default_factory=list)
    removed: bytes | None = None


class ForgetfulDisk(Disk):
    """`fail_after` calls from now on the power fails, in the middle of whatever is going on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[int, File] = {}
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.fail_after: int | None = None
        for path in sorted(directory.iterdir()):
            found = self.add(path, path.stat().st_ino)
            found.synchronised = path.read_bytes()
        self.durable_names = dict(self.names)

    def add(self, path: Path, inode: int) -> File:
        self.files[inode] = self.names[path.name] = found = File(inode)
        return found

    def mine(self, path: str) -> bool:
        return Path(path).parent == self.directory

    def step(self) -> None:
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self.fail_after = None
                raise PowerFailure

    # -- the calls of the store

    def create(self, path: str) -> int:
        self.step()
        descriptor = super().create(path)
        if self.mine(path):
            self.add(Path(path), os.fstat(descriptor).st_ino)
        return descriptor

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        self.step()
        super().allocate(descriptor, offset, size)
        self.step()

    def truncate(self, descriptor: int, size: int) -> None:
        self.step()
        self.see(self.files.get(os.fstat(descriptor).st_ino))
        super().truncate(descriptor, size)

    def synchronise(self, descriptor: int) -> None:
        self.step()
        found = self.files.get(os.fstat(descriptor).st_ino)
        if found is not None:
            found.synchronised = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            found.seen.clear()
        self.step()

    def synchronise_directory(self, path: str) -> None:
        self.step()
        if Path(path) == self.directory:
            self.durable_names = dict(self.names)

    def remove(self, path: str) -> None:
        self.step()
        if self.mine(path) and os.path.exists(path):
            found = self.names.pop(Path(path).name)
            found.removed = Path(path).read_bytes()
            self.files.pop(found.number)
        super().remove(path)

    def rename(self, path: str, target: str) -> None:
        self.step()
        super().rename(path, target)
        if self.mine(path):
            self.names[Path(target).name] = self.names.pop(Path(path).name)

    def machine_run(self) -> str:
        return self.directory.name

    def free_bytes(self, directory: str) -> int:
        return 1 << 40

    # -- the simulation

    def see(self, found: File | None) -> None:
        """Its contents of this moment could reach the disk."""
        if found is not None:
            name = next((name for name, file in self.names.items() if file is found), None)
            if name is not None:
                found.seen.append((self.directory / name).read_bytes())

    def see_all(self) -> None:
        for found in self.names.values():
            self.see(found)

    def leave(self, directory: Path, rng: random.Random) -> None:
        """Writes to `directory` what the failure leaves."""
        directory.mkdir(parents=True)
        for name in sorted(self.names.keys() | self.durable_names.keys()):
            now, durable = self.names.get(name), self.durable_names.get(name)
            if now is durable:
                chosen = now
            else:
                chosen = rng.choice([now, durable])
            if chosen is not None:
                (directory / name).write_bytes(self.contents(chosen, name, rng))

    def contents(self, found: File, name: str, rng: random.Random) -> bytes:
        current = found.removed if found.removed is not None else (self.directory / name).read_bytes()
        versions = [found.synchronised, *found.seen, current]
        how = rng.random()
        if how < 0.25:
            return current
        if how < 0.5:
            return found.synchronised
        size = len(rng.choice(versions))
        sectors = []
        for start in range(0, size, SECTOR_BYTES):
            sector = rng.choice(versions)[start:start + SECTOR_BYTES]
            sectors.append(sector.ljust(min(SECTOR_BYTES, size - start), b"\0")[:size - start])
        return b"".join(sectors)
