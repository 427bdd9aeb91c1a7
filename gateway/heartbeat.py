"""When to send a heartbeat and when a silent client counts as dead, for one connection.

Any bytes count as a sign of life, both ways. Given byte counts and called at the
right times by the sweep; reads no clock, sends nothing.
"""
from typing import Final

SENDS_PER_INTERVAL: Final = 2
"""A heartbeat goes out every half interval in which nothing else did."""
SILENT_CHECKS_MAX: Final = 2
"""Checks (one per interval) without a byte after which the client is dead: 2 to 3 intervals."""


class Heartbeat:
    """The monitor of one connection. An interval of 0 means none."""

    __slots__ = ("_received_bytes", "_sent_bytes", "_silent_checks", "interval_s")

    def __init__(self, interval_s: int, sent_bytes: int, received_bytes: int) -> None:
        self.interval_s = interval_s
        self._sent_bytes = sent_bytes
        self._received_bytes = received_bytes
        self._silent_checks = 0

    @property
    def send_interval_s(self) -> float:
        return self.interval_s / SENDS_PER_INTERVAL

    def should_send(self, sent_bytes: int) -> bool:
        """Called every send interval: whether nothing was sent since the last call."""
        silent = sent_bytes == self._sent_bytes
        self._sent_bytes = sent_bytes
        return silent

    def sent_heartbeat(self, sent_bytes: int) -> None:
        """The heartbeat itself does not count as traffic of the next interval."""
        self._sent_bytes = sent_bytes

    def is_dead(self, received_bytes: int) -> bool:
        """Called every interval: whether the client has been silent for too many of them."""
        if received_bytes != self._received_bytes:
            self._received_bytes = received_bytes
            self._silent_checks = 0
            return False
        self._silent_checks += 1
        return self._silent_checks >= SILENT_CHECKS_MAX

    def pardon(self, received_bytes: int) -> None:
        """Called instead of `is_dead` while this side does not read."""
        self._received_bytes = received_bytes
        self._silent_checks = 0
