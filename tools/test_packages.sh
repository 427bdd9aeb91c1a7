#!/bin/sh
# What the tests use of the system: RabbitMQ as the oracle, strace for the proof of sync before confirm.
# Installs what is missing where it may; else says what will be skipped. Starts no service.
set -eu
missing=
command -v strace >/dev/null 2>&1 || missing="$missing strace"
{ command -v rabbitmq-server || [ -x /usr/sbin/rabbitmq-server ]; } >/dev/null 2>&1 || missing="$missing rabbitmq-server"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed:$missing. The tests that need them are skipped; to run them all: sudo apt-get install$missing"
    exit 0
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
       { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }; }; then
    echo "Could not install:$missing. The tests that need them are skipped."
fi
