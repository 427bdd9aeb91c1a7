"""Decoders written a second time, in the plainest Python: what the compiled ones must agree with.

Slow, without a limit on anything but nesting; ValueError for all that is malformed.
"""
import struct
from decimal import Decimal
from typing import Any

from amqp091.values import Binary, Timestamp

DEPTH_MAX = 64
FIXED = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">q", "f": ">f", "d": ">d",
}  # fmt: skip


class Reader:
    """Takes bytes from the front; ValueError where there are not enough."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, n: int) -> bytes:
        if n > len(self.data):
            raise ValueError("short")
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def shortstr(self) -> bytes:
        return self.take(self.number(">B"))

    def longstr(self) -> bytes:
        return self.take(self.number(">I"))


def decode_table(wire: bytes) -> dict[str, Any]:
    reader = Reader(wire)
    body = reader.longstr()
    if reader.data:
        raise ValueError("long")
    return _fields(body, 1)


def _fields(body: bytes, depth: int) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise ValueError("deep")
    reader = Reader(body)
    table: dict[str, Any] = {}
    while reader.data:
        name = reader.shortstr().decode("utf-8", "surrogateescape")
        table.setdefault(name, _value(reader, depth))
    return table


def _array(body: bytes, depth: int) -> list[Any]:
    if depth > DEPTH_MAX:
        raise ValueError("deep")
    reader, values = Reader(body), []
    while reader.data:
        values.append(_value(reader, depth))
    return values


def _value(reader: Reader, depth: int) -> Any:
    letter = reader.take(1).decode("latin-1")
    if letter in FIXED:
        return reader.number(FIXED[letter])
    match letter:
        case "t":
            return reader.take(1) != b"\x00"
        case "S":
            text = reader.longstr()
            try:
                return text.decode()
            except UnicodeDecodeError:
                return text
        case "x":
            return Binary(reader.longstr())
        case "A":
            return _array(reader.longstr(), depth + 1)
        case "F":
            return _fields(reader.longstr(), depth + 1)
        case "T":
            return Timestamp(reader.number(">Q"))
        case "D":
            scale = reader.number(">B")
            return Decimal(f"{reader.number('>I')}e-{scale}")
        case "V":
            return None
    raise ValueError("letter")


def frames(wire: bytes, frame_max: int) -> list[tuple[int, int, bytes]]:
    """(type, channel, payload) of the complete frames; ends at the first bad one with type -1."""
    found: list[tuple[int, int, bytes]] = []
    while wire:
        if wire[0] not in (1, 2, 3, 8):
            return [*found, (-1, 0, b"")]
        if len(wire) < 7:
            break
        kind, channel, size = struct.unpack(">BHI", wire[:7])
        if size + 8 > frame_max:
            return [*found, (-1, 0, b"")]
        if len(wire) < size + 8:
            break
        if wire[size + 7] != 0xCE:
            return [*found, (-1, 0, b"")]
        found.append((kind, channel, wire[7 : size + 7]))
        wire = wire[size + 8 :]
    return found


def publish(payload: bytes) -> tuple[bytes, bytes, bool, bool]:
    reader = Reader(payload)
    if reader.take(4) != b"\x00\x3c\x00\x28":
        raise ValueError("method")
    reader.take(2)
    exchange, routing_key, bits = reader.shortstr(), reader.shortstr(), reader.number(">B")
    if reader.data:
        raise ValueError("long")
    return exchange, routing_key, bits & 1 == 1, bits & 2 == 2


def content_header(payload: bytes) -> dict[str, Any]:
    """What scanner.read_content_header gives."""
    reader = Reader(payload)
    class_id, weight, body_size = reader.number(">H"), reader.number(">H"), reader.number(">Q")
    encoded = reader.data
    flags = reader.number(">H")
    if weight or flags & 3:
        raise ValueError("weight or flags")
    kinds = "SSTooSSSSLSSSS"
    values: list[Any] = []
    for place, kind in enumerate(kinds):
        if not flags & 1 << (15 - place):
            values.append(None)
        elif kind == "S":
            values.append(reader.shortstr())
        elif kind == "o":
            values.append(reader.number(">B"))
        elif kind == "L":
            values.append(reader.number(">Q"))
        else:
            before = reader.data
            reader.longstr()
            table = before[: len(before) - len(reader.data)]
            decode_table(table)
            values.append(table)
    if reader.data:
        raise ValueError("long")
    return {
        "class_id": class_id, "body_size": body_size, "flags": flags, "properties": encoded,
        "headers": values[2], "delivery_mode": values[3] or 0, "priority": values[4] or 0,
        "reply_to": values[6], "expiration": values[7], "message_id": values[8], "user_id": values[11],
    }  # fmt: skip


PROPERTY_KINDS = "SSTooSSSSLSSSS"
HEADERS_PLACE = 2


def property_parts(properties: bytes) -> list[bytes | None]:
    """The 14 properties as they stand, with their length words; None: absent."""
    reader = Reader(properties)
    flags = reader.number(">H")
    parts: list[bytes | None] = []
    for place, kind in enumerate(PROPERTY_KINDS):
        before = reader.data
        if not flags & 1 << (15 - place):
            parts.append(None)
            continue
        {"S": reader.shortstr, "T": reader.longstr, "o": lambda: reader.take(1), "L": lambda: reader.take(8)}[kind]()
        parts.append(before[: len(before) - len(reader.data)])
    return parts


def joined(parts: list[bytes | None]) -> bytes:
    """The opposite of property_parts."""
    flags = sum(1 << (15 - place) for place, part in enumerate(parts) if part is not None)
    return struct.pack(">H", flags) + b"".join(part for part in parts if part is not None)


def field_parts(body: bytes) -> list[tuple[bytes, bytes]]:
    """(name, whole field as it stands) of the inside of a table."""
    reader, fields = Reader(body), []
    while reader.data:
        before = reader.data
        name = reader.shortstr()
        _value(reader, 1)
        fields.append((name, before[: len(before) - len(reader.data)]))
    return fields


def array_parts(body: bytes) -> list[bytes]:
    """The values of an array as they stand, with their letters."""
    reader, values = Reader(body), []
    while reader.data:
        before = reader.data
        _value(reader, 1)
        values.append(before[: len(before) - len(reader.data)])
    return values


def edited(properties: bytes, removed: int, removed_fields: list[bytes], added: bytes) -> bytes:
    """What amqp091.property_edit.edited gives."""
    parts = property_parts(properties)
    parts = [None if removed & 1 << (15 - place) else part for place, part in enumerate(parts)]
    table = parts[HEADERS_PLACE]
    if table is not None or added:
        fields = field_parts(table[4:]) if table is not None else []
        body = b"".join(field for name, field in fields if name not in removed_fields) + added
        parts[HEADERS_PLACE] = struct.pack(">I", len(body)) + body
    return joined(parts)
