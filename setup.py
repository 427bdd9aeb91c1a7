"""Builds the compiled core: every .pyx beside the Python modules that it belongs to."""
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
PACKAGES = ("amqp091", "bus", "log", "gateway", "shards", "topology", "broker")
FLAGS = ["-O2", "-g", "-fno-strict-aliasing", "-fwrapv", "-Wno-unused-function", "-Wno-unreachable-code"]
SANITIZE = os.environ.get("WARREN_SANITIZE")        # "address": the build that the fuzz tests run
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-O1"]

sources = sorted(
    path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.pyx")
)
extensions = [
    Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=FLAGS,
        extra_link_args=[f"-fsanitize={SANITIZE}"] if SANITIZE else [],
    )
    for source in sources
]

setup(
    ext_modules=cythonize(
        extensions,
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": False,
        },
        quiet=True,
    )
)
