"""Whether the machine went down since the log was opened last: then ack maps may be older than what clients know.

Ack maps are written lazily. That is safe as long as the machine runs, whatever becomes of the process. Where power
failed, an acknowledged message may come back with a page that does not even know of its delivery. So the durable
directory names the run of the machine (its boot id) while a store is open, and a store that is closed synchronises
its ack maps before it takes the name away. Where a start finds the name of another run, every message that is
recovered counts as delivered once at least: what comes back is marked redelivered.

    machine     one line: "warren-machine", FORMAT_VERSION, the boot id, the checksum of all before it in hexadecimal
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from log.checksum import checksum
from log.formats import FORMAT_VERSION, FORMAT_VERSIONS_READ, UnknownFormat

if TYPE_CHECKING:
    from log.disk import Disk

MACHINE_FILE: Final = "machine"
MAGIC: Final = b"warren-machine"
UNREADABLE: Final = ""
"""In place of a boot id: equal to none."""


def last_run(directory: str) -> str | None:
    """The run of the machine in which the store was open last and not closed; None where it was closed.

    UnknownFormat where a newer broker has written.
    """
    path = os.path.join(directory, MACHINE_FILE)
    try:
        with open(path, "rb") as file:
            line = file.read(1024)
    except FileNotFoundError:
        return None
    fields = line.split()
    if len(fields) != 4 or fields[0] != MAGIC or fields[3] != _checksum(fields[:3]):
        return UNREADABLE
    if fields[1] not in [b"%d" % version for version in FORMAT_VERSIONS_READ]:
        raise UnknownFormat(path, int(fields[1]))
    return fields[2].decode("ascii", "replace")


def went_down(disk: Disk, directory: str) -> bool:
    """Whether the machine went down while the store was open."""
    last = last_run(directory)
    return last is not None and (last == UNREADABLE or last != disk.machine_run())


def open_run(disk: Disk, directory: str) -> None:
    """The store is open in this run of the machine, on the disk when this returns."""
    fields = [MAGIC, b"%d" % FORMAT_VERSION, disk.machine_run().encode() or b"-"]
    path = os.path.join(directory, MACHINE_FILE)
    disk.remove(path + ".new")
    descriptor = disk.create(path + ".new")
    try:
        os.write(descriptor, b" ".join([*fields, _checksum(fields)]) + b"\n")
        disk.synchronise(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(path + ".new", path)
    disk.synchronise_directory(directory)


def close_run(disk: Disk, directory: str) -> None:
    """The ack maps are on the disk."""
    disk.remove(os.path.join(directory, MACHINE_FILE))
    disk.synchronise_directory(directory)


def _checksum(fields: list[bytes]) -> bytes:
    return b"%08x" % checksum(b" ".join(fields))
