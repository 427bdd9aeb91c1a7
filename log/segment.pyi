from typing import Any

import numpy as np
from numpy.typing import NDArray

from log.disk import Disk

def segment_path(directory: str, number: int, kind: str) -> str: ...

class Segment:
    disk: Disk
    directory: str
    number: int
    place: int
    state: int
    durable: bool
    in_memory: bool
    named: bool
    @property
    def data_descriptor(self) -> int:
        """-1 where the file is closed."""
    synchronising: bool
    sealing: bool
    sealed: bool
    lent: int
    room_bytes: int
    given: bool
    spoiled: bool
    borrowers: set[int] | None
    memory_bytes: int
    salt: int
    live: int
    data_used_bytes: int
    slots_used: int

    def __init__(
        self, disk: Disk, directory: str, number: int, *, durable: bool, in_memory: bool, salt: int
    ) -> None: ...
    def paths(self) -> tuple[str, str, str]: ...
    @property
    def allocated_bytes(self) -> int: ...
    @property
    def stored_bytes(self) -> int: ...
    @staticmethod
    def create(
        disk: Disk, directory: str, number: int, *, data_bytes: int, slots: int, durable: bool, in_memory: bool,
        salt: int, now_ms: int,
    ) -> Segment: ...
    @staticmethod
    def open(
        disk: Disk, directory: str, number: int, *, durable: bool, in_memory: bool, salt: int
    ) -> Segment: ...
    def repair_header(self, now_ms: int) -> None: ...
    def seal_of_index(self) -> tuple[int, int] | None: ...
    def attach(
        self, data_bytes: int, entry_count: int, first_acks: int, now_ms: int, entries: NDArray[Any] | None = None
    ) -> None: ...
    def index_array(self) -> NDArray[Any]: ...
    def acks_array(self) -> NDArray[np.uint8]: ...
    def count_live(self) -> int: ...
    def scan(self) -> tuple[NDArray[Any], int, list[tuple[int, int, int]], int]: ...
    def write_seal(self, now_ms: int) -> None: ...
    def trim(self) -> None: ...
    def synchronise_data(self) -> None: ...
    def synchronise_apart(self, kind: str) -> None: ...
    def close_files(self) -> None: ...
    def free_files(self, synchronising: bool) -> None: ...
