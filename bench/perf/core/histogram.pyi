from typing import Any

import numpy as np

WORDS: int
FIRST_BUCKET_WORD: int
BUCKET_COUNT: int
SUB_BITS: int

def bucket(value: int) -> int: ...
def record_many(words: np.ndarray[Any, np.dtype[np.uint64]], values: np.ndarray[Any, np.dtype[np.uint64]]) -> None: ...
