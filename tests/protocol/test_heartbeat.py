"""Heartbeats: the broker sends them, and ends connections that are silent for too long. All waits run side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.harness import wire
from tests.harness.client import Client

OpenClient = Callable[..., Client]

INTERVAL_S = 1
SILENCE_MAX_S = 3 * INTERVAL_S + 3


def test_heartbeats(open_client: OpenClient) -> None:
    """One client keeps quiet and is ended, one sends heartbeats and one publishes and both stay, one has them off."""
    silent, beating, publishing, off = (
        open_client(heartbeat=interval) for interval in (INTERVAL_S, INTERVAL_S, INTERVAL_S, 0)
    )
    publisher = publishing.channel()
    stop = threading.Event()

    def keep_alive() -> None:
        while not stop.wait(INTERVAL_S / 2):
            beating.send_bytes(wire.HEARTBEAT)
            publisher.publish("", "t-nobody", b"x")

    thread = threading.Thread(target=keep_alive)
    thread.start()
    try:
        began = time.monotonic()
        silent.wait_heartbeat(INTERVAL_S + 1)
        silent.expect_end(SILENCE_MAX_S)
        assert INTERVAL_S < time.monotonic() - began < SILENCE_MAX_S
        beating.wait_heartbeat(INTERVAL_S + 1)
    finally:
        stop.set()
        thread.join()
    beating.channel().exclusive_queue()
    publisher.exclusive_queue()
    off.channel().exclusive_queue()
    assert off.heartbeats == 0


def test_half_a_heartbeat_counts_as_life(open_client: OpenClient) -> None:
    client = open_client()
    client.send_in_pieces(wire.HEARTBEAT * 3, 5)
    client.channel().exclusive_queue()
