"""RabbitMQ as the oracle: runs Debian's rabbitmq-server beside Warren, bound to the loopback with its own data.

Owns one RabbitMQ node with its epmd in a directory of its own, and the users and virtual hosts that the tests expect.
Never touches a system-wide RabbitMQ: node name, ports, cookie, log and data are all private.

As a program it keeps a node running for work by hand: ``python -m tests.harness.oracle --port 56720 --directory DIR``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from tests.harness.accounts import ACCOUNTS, VHOST_LIMITS, VHOSTS
from tests.harness.ports import free_port, wait_for_port

RABBITMQ_SERVER_GLOB = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"
PLUGINS = ("rabbitmq_consistent_hash_exchange", "rabbitmq_random_exchange", "rabbitmq_sharding")
"""Of those in Debian's package: exchange types that Warren has too (sharding: x-modulus-hash)."""
START_TIMEOUT_S = 180.0
"""Of the node, or of a command: each is an Erlang of its own, and takes half a minute on two cores that others use."""
STOP_TIMEOUT_S = 20.0
TEST_TIMEOUT_S = 600
"""Of a test that may have to start it."""


def installed() -> Path | None:
    """The server script of the newest installed RabbitMQ, or None."""
    found = sorted(Path("/").glob(RABBITMQ_SERVER_GLOB.lstrip("/")))
    return found[-1] if found and shutil.which("erl") and shutil.which("epmd") else None


def _definitions() -> dict[str, object]:
    """The accounts of the tests as a RabbitMQ definitions document."""
    return {
        "users": [
            {"name": a.name, "password": a.password, "tags": list(a.tags), "limits": a.limits} for a in ACCOUNTS
        ],
        "vhosts": [{"name": name} for name in VHOSTS],
        "permissions": [
            {"user": a.name, "vhost": vhost, "configure": p.configure, "write": p.write, "read": p.read}
            for a in ACCOUNTS
            for vhost, p in a.permissions.items()
        ],
        "topic_permissions": [
            {"user": a.name, "vhost": "/", "exchange": exchange, "write": p.write, "read": p.read}
            for a in ACCOUNTS
            for exchange, p in a.topic_permissions.items()
        ],
        "parameters": [
            {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": limits}
            for vhost, limits in VHOST_LIMITS.items()
        ],
    }


class RabbitMQ:
    """One private RabbitMQ node."""

    running: ClassVar[dict[int, RabbitMQ]] = {}
    """By port; those of this process."""

    def __init__(
        self, directory: Path, port: int | None = None, definitions: dict[str, object] | None = None
    ) -> None:
        """`definitions`: what it starts with, in place of the accounts of the tests."""
        self.directory = directory
        self._definitions = definitions or _definitions()
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the root of the node's process tree."""
        if self._server is None:
            raise RuntimeError("the oracle is not running")
        return self._server.pid

    def start(self) -> None:
        """Start epmd and the node, and wait until the port answers."""
        script = installed()
        if script is None:
            raise FileNotFoundError("rabbitmq-server is not installed")
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = self._environment()
        epmd = shutil.which("epmd") or "epmd"
        log = open(self.directory / "server.out", "ab")
        self._epmd = subprocess.Popen(
            [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"], env=environment, stdout=log, stderr=log
        )
        self._server = subprocess.Popen(
            [str(script)], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        log.close()
        wait_for_port(self.host, self.port, START_TIMEOUT_S, self._server)
        RabbitMQ.running[self.port] = self

    def ctl(self, *arguments: str) -> str:
        """A command of rabbitmqctl, which takes a second or two; what it printed."""
        script = installed()
        if script is None:
            raise FileNotFoundError("rabbitmq-server is not installed")
        result = subprocess.run(
            [str(script.with_name("rabbitmqctl")), "-n", f"oracle-{self.port}@localhost", "--quiet", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory / "home"),
                "LANG": "C.UTF-8",
                "ERL_EPMD_PORT": str(self._epmd_port),
                "ERL_EPMD_ADDRESS": "127.0.0.1",
            },
            text=True,
            capture_output=True,
            timeout=START_TIMEOUT_S,
        )
        if result.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {result.stdout}{result.stderr}")
        return result.stdout

    def stop(self) -> None:
        """End the node and its epmd; the data stays."""
        RabbitMQ.running.pop(self.port, None)
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            try:
                self._server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
            self._server = None
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def _environment(self) -> dict[str, str]:
        directory = self.directory
        (directory / "definitions.json").write_text(json.dumps(self._definitions))
        (directory / "enabled_plugins").write_text(f"[{','.join(PLUGINS)}].\n")
        (directory / "env.conf").write_text("")
        (directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {directory / 'definitions.json'}\n"
            "disk_free_limit.absolute = 50MB\n"
            "log.console = false\n"
        )
        home = directory / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"oracle-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "absent.config"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        }


def main() -> None:
    """Run a node until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=56720)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="oracle-"))
    node = RabbitMQ(directory, options.port)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    began = time.monotonic()
    node.start()
    print(f"ready: RabbitMQ on {node.host}:{node.port}, pid {node.pid}, {time.monotonic() - began:.1f} s", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        node.stop()


if __name__ == "__main__":
    main()
