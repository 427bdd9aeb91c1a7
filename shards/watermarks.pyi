"""Types of the compiled shards.watermarks."""

class Watermark:
    """The two counts of one link."""

    @property
    def processed(self) -> int:
        """The last batch that was applied."""
    @property
    def durable(self) -> int:
        """The last batch of which, and of all before it, nothing waits for the disk."""
    @property
    def settled(self) -> bool:
        """Nothing waits for the disk, and everything that was asked for was told."""
    def applied(self, position: int | None, asked: bool = True, early: bool = True) -> None:
        """The next batch was applied; it has appended up to `position`, or nothing that belongs on the disk. `asked`:
        its sender waits to hear of it, and not only of its durability where `early`."""
    def durable_up_to(self, position: int) -> None:
        """Everything up to this position of the log is on the disk."""
    def news(self) -> tuple[int, int] | None:
        """(processed, durable) where they have moved since the last call, and somebody waits for that."""
