"""Builds the compiled core: every .pyx beside the Python modules that it belongs to.

WARREN_SANITIZE=address builds for AddressSanitizer; give --build-lib, so that the tree keeps its ordinary build.
"""
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

from build_backend import has_c_compiler  # noqa: E402

ROOMS = ("amqp091", "bus", "log", "gateway", "shards", "topology", "bench", "broker")
FLAGS = ["-O2", "-g1", "-fno-strict-aliasing", "-fwrapv", "-Wno-unused-function", "-Wno-unreachable-code"]
# What runs per message in small functions that call one another: more of them are put into their callers.
INLINED = {Path("shards/engine/dispatch.pyx")}
LINK_FLAGS = []
SANITIZE = os.environ.get("WARREN_SANITIZE")
if SANITIZE:
    # half the time of -O1 with all of -g, and reports name their lines all the same
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-Og", "-g1"]
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]
if not has_c_compiler():
    # For any CPU of this kind: what is built here may run elsewhere.
    ZIG = f"{sys.executable} -m ziglang cc -mcpu=baseline"
    os.environ["CC"] = ZIG
    os.environ["LDSHARED"] = f"{ZIG} -shared"


def extension(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=["-O3" if flag == "-O2" and source in INLINED else flag for flag in FLAGS],
        extra_link_args=LINK_FLAGS,
    )


os.chdir(ROOT)
setup(
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        [extension(source) for room in ROOMS for source in sorted(Path(room).rglob("*.pyx"))],
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
