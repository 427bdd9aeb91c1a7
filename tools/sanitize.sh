#!/bin/sh
# Runs the unit and fuzz tests over a compiled core built with AddressSanitizer.
#
#   tools/sanitize.sh [pytest arguments]      default: tests/unit tests/fuzz
#
# The sources are copied to build/sanitize and built there in place, so that the
# two builds never mix; what is unchanged is not built again. Python's own
# allocator is switched off, so that a read one byte behind a bytes object shows.
# Where there is no libasan, as with the zig compiler, it says so and succeeds.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-$root/.venv/bin/python}
compiler=${CC:-cc}
tree=build/sanitize
packages="amqp091 bus log gateway shards topology bench broker"

# a compiler that does not know the library answers with its bare name
libasan=$($compiler -print-file-name=libasan.so 2>/dev/null || true)
case $libasan in
    /*) ;;
    *)
        echo "sanitize: skipped, $compiler has no libasan.so (Debian: the package libasan of its gcc)"
        exit 0
        ;;
esac
# C++ exceptions of other libraries need it to be there when the sanitizer starts
libstdcxx=$($compiler -print-file-name=libstdc++.so.6 2>/dev/null || true)
case $libstdcxx in
    /*) ;;
    *) libstdcxx= ;;
esac

mkdir -p "$tree"
find "$tree" \( -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \) -delete
# what the ordinary build has translated to C is not translated again
# shellcheck disable=SC2086  # the list is meant to be split
tar -cf - --exclude='*.so' --exclude=__pycache__ setup.py pyproject.toml tools $packages | tar -xpf - -C "$tree"
tar -cf - --exclude=__pycache__ tests | tar -xpf - -C "$tree"
# a module without source must not outlive it
find "$tree" -name '*.so' | while read -r module; do
    [ -e "${module%%.*}.pyx" ] || rm "$module"
done

cd "$tree"
WARREN_SANITIZE=address "$python" setup.py -q build_ext --inplace --parallel "$(nproc)"

[ $# -gt 0 ] || set -- tests/unit tests/fuzz
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export LD_PRELOAD="$libasan${libstdcxx:+ $libstdcxx}"
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
# the tests must see this build and no other
"$python" - <<'END'
import pathlib
import amqp091.scanner as module
path = pathlib.Path(module.__file__)
if not path.is_relative_to(pathlib.Path.cwd()) or b"__asan_init" not in path.read_bytes():
    raise SystemExit(f"sanitize: {path} is not built with AddressSanitizer")
END
# --capture=sys leaves file descriptor 2 to the report of the sanitizer
exec "$python" -m pytest -q --capture=sys -p no:cacheprovider "$@"
