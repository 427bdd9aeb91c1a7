"""Policies on the broker under test, by its command line: `warren` or `rabbitmqctl`. All are cleared at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.harness.client import Endpoint

Run = Callable[..., Any]


class Policies:
    """Sets and clears policies in the virtual host "/"."""

    def __init__(self, endpoint: Endpoint, run: Run) -> None:
        """`run` runs a command with its arguments."""
        self._words = (lambda verb: verb) if endpoint.broker == "warren" else (lambda verb: verb.replace("-", "_"))
        self._run = run
        self._set: set[tuple[str, str]] = set()

    def set(
        self,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        *,
        priority: int = 0,
        apply_to: str = "all",
        operator: bool = False,
    ) -> None:
        kind = "operator-policy" if operator else "policy"
        self._set.add((kind, name))
        options = [f"--priority={priority}", f"--apply-to={apply_to}"]
        self._run(self._words(f"set-{kind}"), *options, name, pattern, json.dumps(definition))

    def clear(self, name: str, *, operator: bool = False) -> None:
        kind = "operator-policy" if operator else "policy"
        self._set.discard((kind, name))
        self._run(self._words(f"clear-{kind}"), name)

    def clear_all(self) -> None:
        for kind, name in list(self._set):
            self.clear(name, operator=kind == "operator-policy")
