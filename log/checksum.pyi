from typing_extensions import Buffer

hardware: bool

def checksum(data: Buffer, crc: int = 0, *, portable: bool = False) -> int: ...
