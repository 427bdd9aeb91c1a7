"""Limits that both ends of a link must agree on. bus/limits.pxd has the same numbers for compiled code."""
from typing import Final

CONNECTION_WINDOW_BYTES: Final = 1024 * 1024
"""A shard stops dispatching to a connection that is this far ahead of its CREDIT: a client that does not read
its socket costs a gateway at most this per shard (and one message)."""
