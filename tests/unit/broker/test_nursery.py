"""What the nursery forks: nothing that the supervisor does not know of, and nothing that cannot be stopped at once.

In a process of its own, as whoever has a nursery adopts orphans and keeps what it has warmed up.
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def run(code: str) -> str:
    """What the code prints that plays the supervisor."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DIES = """
import os, signal, socket
from broker import nursery, process

class DiesBeforeItAnswers(socket.socket):
    def send(self, answer):
        os.kill(os.getpid(), signal.SIGKILL)

reading, writing = os.pipe()
process.adopt_orphans()
process.main = lambda role, index, parameters: os.write(writing, b"runs")
ours, theirs = nursery._sockets()
supervisor_pid = os.getpid()
pid = os.fork()
if pid == 0:
    nursery._run(lambda: nursery._serve(DiesBeforeItAnswers(fileno=theirs.detach()), supervisor_pid, [writing]))
os.close(writing)
ours.send(b'{"role": "shard", "index": 0, "parameters": {}}')
os.waitpid(pid, 0)
print(os.read(reading, 10))        # ends when nobody is left who could write
"""


def test_what_a_dying_nursery_has_forked_and_not_told_never_runs() -> None:
    assert run(DIES) == "b''"


STOPPED = """
import os, signal
from broker import nursery, process

supervisor_pid = os.getpid()
process.main = lambda role, index, parameters: (process.die_with(supervisor_pid), signal.pause())
nursery.warm = lambda: None
one = nursery.Nursery([])
for _ in range(30):
    child = one.start("shard", 0, {})
    child.send_signal(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
one.close()
print("all")
"""


def test_a_process_that_was_only_just_forked_can_be_stopped() -> None:
    assert run(STOPPED) == "all"
