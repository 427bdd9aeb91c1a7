"""Values of field tables that Python has no type for."""


class Timestamp(int):
    """Seconds since 1970, `T` on the wire: an unsigned 64-bit number that need not be a valid date."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Timestamp({int(self)})"

    def __str__(self) -> str:
        return int.__repr__(self)


class Binary(bytes):
    """`x` on the wire. Plain bytes are a long string, `S`, that is not UTF-8."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Binary({bytes(self)!r})"
