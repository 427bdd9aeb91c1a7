"""Where, when and with what results were measured, in a sentence."""
from __future__ import annotations

from collections.abc import Sequence

from bench.perf.machine import described
from bench.perf.result import Result


def origin(results: Sequence[Result]) -> str:
    good = [one for one in results if one.error is None]
    brokers = list(dict.fromkeys(one.broker for one in good))
    days = sorted({one.started_at[:10] for one in good})
    machines = list(dict.fromkeys(described(one.machine) for one in good if one.machine))
    seconds = sorted({one.options["seconds"] for one in good if one.options.get("seconds")})
    runs = 1 + max((one.repetition for one in results), default=0)
    window = f", {' or '.join(f'{value:g}' for value in seconds)} s each" if seconds else ""
    return (f"{', '.join(brokers) or 'No broker'}; {' to '.join(dict.fromkeys((days[0], days[-1]))) if days else ''}; "
            f"{'; '.join(machines)}. {runs} run{'s' if runs > 1 else ''} of each{window}; the load runs on the same "
            "machine.")
