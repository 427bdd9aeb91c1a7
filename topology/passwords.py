"""Password hashes as RabbitMQ keeps them: base64 of a 4-byte salt and the digest of salt and password."""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

SALT_BYTES: Final = 4
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"
DIGESTS: Final = {
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}


def hash_password(password: str, algorithm: str = DEFAULT_ALGORITHM, salt: bytes | None = None) -> str:
    """The hash to keep for a password. KeyError for an algorithm that is not known."""
    digest_name = DIGESTS[algorithm]
    if salt is None:
        salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + _digest(digest_name, salt, password)).decode("ascii")


def verify_password(password_hash: str, algorithm: str, password: str) -> bool:
    """Whether the password is the one hashed. Empty passwords and hashes never match."""
    digest_name = DIGESTS.get(algorithm)
    if digest_name is None or not password_hash or not password:
        return False
    try:
        kept = base64.b64decode(password_hash, validate=True)
    except (binascii.Error, ValueError):
        return False
    salt, expected = kept[:SALT_BYTES], kept[SALT_BYTES:]
    return hmac.compare_digest(_digest(digest_name, salt, password), expected)


def is_password_hash(password_hash: str, algorithm: str) -> bool:
    """Whether a hash that came from outside has the form of the algorithm; empty means no login by password."""
    digest_name = DIGESTS.get(algorithm)
    if digest_name is None:
        return False
    if not password_hash:
        return True
    try:
        kept = base64.b64decode(password_hash, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(kept) == SALT_BYTES + hashlib.new(digest_name, usedforsecurity=False).digest_size


def _digest(digest_name: str, salt: bytes, password: str) -> bytes:
    # md5 is there only for hashes that are imported from old installations.
    secret = password.encode("utf-8", "surrogateescape")
    return hashlib.new(digest_name, salt + secret, usedforsecurity=False).digest()
