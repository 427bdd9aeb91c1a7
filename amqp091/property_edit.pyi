from collections.abc import Iterable

def edited(
    properties: bytes, *, removed: int = 0, removed_fields: Iterable[bytes] = (), added: bytes = b""
) -> bytes: ...
