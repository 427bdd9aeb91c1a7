"""What ends a run, in one sentence for the person who started it."""
from __future__ import annotations


class LoadError(Exception):
    """The broker, the network or the machine does not let the run go on."""
