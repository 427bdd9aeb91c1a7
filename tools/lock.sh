#!/bin/sh
# Writes the lock files anew: pinned versions with hashes, no address of an index. Needs pip-tools.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
compile() {
    output=$1
    shift
    "$PYTHON" -m piptools compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-annotate \
        --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$output" "$@"
}
compile requirements.lock pyproject.toml
compile requirements-dev.lock --extra dev --constraint requirements.lock pyproject.toml
echo "ziglang>=0.13" | compile requirements-compiler.lock -
