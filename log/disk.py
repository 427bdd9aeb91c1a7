"""What the log asks of the operating system, behind one small class.

Tests give the store a disk of their own that counts, fails and forgets. All calls
but `synchronise` are made by the process's main loop or its housekeeping thread;
`synchronise` is what the sync thread does.
"""
from __future__ import annotations

import os


class Disk:
    """The real one."""

    def make_directory(self, path: str) -> None:
        """A directory whose name, and those of the directories above that had to be made, are on the disk."""
        path = os.path.abspath(path)
        if os.path.isdir(path):
            return
        self.make_directory(os.path.dirname(path))
        os.makedirs(path, mode=0o750, exist_ok=True)
        self.synchronise_directory(os.path.dirname(path))

    def create(self, path: str) -> int:
        """A new empty file; returns its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        """Blocks for the range, so that writing it through a mapping cannot fail. OSError where there are none."""
        os.posix_fallocate(descriptor, offset, size)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def synchronise(self, descriptor: int) -> None:
        """Contents to the disk. After an OSError nothing is known about them, and asking again would lie."""
        os.fdatasync(descriptor)

    def synchronise_directory(self, path: str) -> None:
        """Names of new and removed files to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        """Removes a file; one that is gone already is fine."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def rename(self, path: str, target: str) -> None:
        os.rename(path, target)

    def machine_run(self) -> str:
        """Names what this machine has been doing without a break; empty where it does not say."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def free_bytes(self, directory: str) -> int:
        figures = os.statvfs(directory)
        return figures.f_bavail * figures.f_frsize

    def total_bytes(self, directory: str) -> int:
        figures = os.statvfs(directory)
        return figures.f_blocks * figures.f_frsize
