# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The seed of this process's hashes. See hashing.pxd."""
from libc.stdint cimport uint64_t

import os

HASH_SEED = <uint64_t> (int.from_bytes(os.urandom(8), "little") | 1)
