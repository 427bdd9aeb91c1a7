from collections.abc import Iterable

from topology.model import Destination

class Choice:
    """One destination out of several, of which a message gets one: at random, or by a hash.

    The hash is that of the routing key, of the header `hash_header`, or of the property `hash_property` ("message_id",
    "correlation_id", "timestamp"). With `weights` (numbers above 0, one per destination) each destination gets its
    share and keeps what it has when others come or go; without, the hash's remainder counts them as they stand.
    """

    destinations: tuple[Destination, ...]

    def __init__(
        self, destinations: Iterable[Destination], *, weights: Iterable[int] | None = None,
        hash_property: str | None = None, hash_header: str | None = None, random: bool = False,
    ) -> None: ...
    def index(self, routing_key: bytes, properties: bytes = b"\0\0") -> int:
        """Which of the destinations. `properties`: flags and list as in a content header."""
