from typing import NamedTuple

READY: int
UNACKED: int
DELAYED: int

class Browsed(NamedTuple):
    position: int
    state: int
    delivery_count: int
    priority: int
    persistent: bool
    received_at_ms: int | None
    expires_at_ms: int | None
    ready_at_ms: int | None
    exchange: bytes
    routing_key: bytes
    properties: bytes
    payload: bytes
    payload_bytes: int
