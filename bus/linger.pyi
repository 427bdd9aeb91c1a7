"""Types of the compiled bus.linger."""

WAIT_NS: int
LATE_NS: int
PAUSE_MAX: int

class Linger:
    def due(self) -> bool: ...
    def step_aside(self) -> int: ...
    def ended(self, answered: bool, waited_ns: int) -> int: ...
