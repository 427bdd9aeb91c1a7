import numpy as np
from numpy.typing import NDArray

def gather(
    index: NDArray[np.void],
    acks: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
    place: int,
    entries: NDArray[np.void],
    queue_ids: NDArray[np.uint32],
) -> int: ...
def deal(
    entries: NDArray[np.void], queue_ids: NDArray[np.uint32], lowest: int, highest: int
) -> tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.bool_]]: ...
def queue_id_range(index: NDArray[np.void]) -> tuple[int, int] | None: ...
def raise_to_highest(index: NDArray[np.void], lowest: int, table: NDArray[np.uint64]) -> None: ...
