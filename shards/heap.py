"""Memory that is free within this process goes back to the system.

A backlog of many queues leaves its memory in holes between what is still in use, and
the C library gives back only what lies at the end of the heap by itself. Looks at
figures that the C library keeps anyway; does nothing where it has none (musl).
"""
import ctypes
from typing import Final

FREED_BYTES_MIN: Final = 16 * 1024 * 1024
"""Less than this is not worth the walk through the heap."""


class _HeapFigures(ctypes.Structure):
    """struct mallinfo2 of glibc; `free_bytes` is its fordblks, `top_bytes` its keepcost."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "free_bytes", "top_bytes"
        )
    ]


class Heap:
    """The heap of this process."""

    def __init__(self, freed_bytes_min: int = FREED_BYTES_MIN) -> None:
        library = ctypes.CDLL(None)
        self._figures = getattr(library, "mallinfo2", None)
        self._trim = getattr(library, "malloc_trim", None)
        self._freed_bytes_min = freed_bytes_min
        self._free_bytes_after_trim = 0
        if self._figures is not None:
            self._figures.restype = _HeapFigures

    def give_back(self) -> bool:
        """Trims the heap where much has become free since the last time; True where it did."""
        if self._figures is None or self._trim is None:
            return False
        free_bytes = int(self._figures().free_bytes)
        if free_bytes < self._free_bytes_after_trim:
            # what had been given back is in use again
            self._free_bytes_after_trim = free_bytes
        if free_bytes - self._free_bytes_after_trim < self._freed_bytes_min:
            return False
        self._trim(0)
        self._free_bytes_after_trim = int(self._figures().free_bytes)
        return True
