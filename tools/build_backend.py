"""The build backend of Warren: setuptools, and a C compiler from PyPI where the machine has none.

pip asks it what the build needs; without a compiler on the PATH the answer names ziglang, whose `cc` then compiles
the core (setup.py). Everything else is setuptools' own.
"""
from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "has_c_compiler",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ZIGLANG = "ziglang>=0.13"

Settings = dict[str, Any] | None


def has_c_compiler() -> bool:
    """Whether the compiler that the build would call is there: $CC, else the one that built this Python."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return shutil.which(shlex.split(str(command))[0]) is not None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return _compiler() + build_meta.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return _compiler() + build_meta.get_requires_for_build_editable(config_settings)


def _compiler() -> list[str]:
    """Asked before setuptools, which runs setup.py, which may set $CC."""
    return [] if has_c_compiler() else [ZIGLANG]


if __name__ == "__main__":
    sys.exit(not has_c_compiler())
