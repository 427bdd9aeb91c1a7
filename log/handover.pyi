"""Types of the compiled log.handover."""

ASK_PYTHON: int
"""Instead of a descriptor: `serve` returns, for what is more than one fdatasync."""

class SyncHandover:
    @property
    def finished_descriptor(self) -> int:
        """Readable when what was asked for is done: then `take`."""
    def ask(self, descriptor: int) -> None:
        """In the loop. Nothing else may be under way."""
    def end(self) -> None:
        """In the loop: `serve` ends, after what was asked for."""
    def serve(self) -> bool:
        """In the thread: synchronises until ASK_PYTHON comes (True) or the end (False)."""
    def finish(self) -> None:
        """In the thread: what ASK_PYTHON stood for is done."""
    def take(self) -> int:
        """In the loop: the error number of what is done, 0 where it is on the disk."""
