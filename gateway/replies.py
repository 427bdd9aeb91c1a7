"""The names of reply queues: what direct reply-to writes into reply-to, and what replies are published to.

    amq.rabbitmq.reply-to.<base64url of: shard u16, queue id u32 (big-endian), 16 bytes of HMAC-SHA256 over them>

A name says by itself where the queue is, so any gateway routes a reply without asking anyone, and no
topology changes when a client starts to consume replies. The key is made at each start of the broker:
a name that it did not sign, or signed before, leads nowhere. Says nothing about whether the queue is still there.
"""
import base64
import binascii
import hmac
import struct
from typing import Final, NamedTuple

from topology.names import REPLY_QUEUE

PREFIX: Final = f"{REPLY_QUEUE}."
PLACE: Final = struct.Struct(">HI")
SIGNATURE_BYTES: Final = 16
SUFFIX_CHARACTERS: Final = -(-(PLACE.size + SIGNATURE_BYTES) * 4 // 3)


class ReplyPlace(NamedTuple):
    """Where a reply queue is."""

    shard: int
    queue_id: int


class ReplyNames:
    """Makes and reads the names."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def name(self, place: ReplyPlace) -> str:
        packed = PLACE.pack(*place)
        signature = hmac.digest(self._key, packed, "sha256")[:SIGNATURE_BYTES]
        return PREFIX + base64.urlsafe_b64encode(packed + signature).rstrip(b"=").decode("ascii")

    def place(self, name: str) -> ReplyPlace | None:
        """None for a name that this run of the broker did not make."""
        suffix = name.removeprefix(PREFIX)
        if suffix == name or len(suffix) != SUFFIX_CHARACTERS or not suffix.isascii():
            return None
        try:
            packed = base64.urlsafe_b64decode(suffix + "=" * (-len(suffix) % 4))
        except (binascii.Error, ValueError):
            return None
        if len(packed) != PLACE.size + SIGNATURE_BYTES:
            return None
        place = ReplyPlace(*PLACE.unpack_from(packed))
        # The whole name, as one place has one name only.
        return place if hmac.compare_digest(self.name(place), name) else None


def is_reply_name(name: str) -> bool:
    """Whether it is the reply queue's name, or begins like one: no other queue can have it."""
    return name.startswith(REPLY_QUEUE)
