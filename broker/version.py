"""The version of this broker, as told to clients and people."""
from __future__ import annotations

import importlib.metadata
from typing import Final


def _installed() -> str:
    try:
        return importlib.metadata.version("warren")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"


VERSION: Final = _installed()
