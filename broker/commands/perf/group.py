"""The group `warren perf`: options without a command are those of `warren perf run`."""
from __future__ import annotations

from typing import Any, Final

import click

from bench.perf.errors import LoadError
from broker.commands.perf.churn import churn
from broker.commands.perf.compare import compare_command
from broker.commands.perf.page import page, plot
from broker.commands.perf.run import run, scenario
from broker.commands.perf.scaling import scaling

DEFAULT_COMMAND = "run"


class _PerfGroup(click.Group):
    """Turns what a run raises into one line and exit code 1."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in context.help_option_names):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except LoadError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_PerfGroup)
def perf() -> None:
    """Measure a broker that speaks AMQP 0-9-1, and check what it delivers.

    Without a command: `run`, whose options are told by `warren perf run --help`.

    \b
    warren perf -z 10 -c 1000 -q 500 -A 50      a producer and a consumer as fast as they can, with confirms and acks
    warren perf -r 1000 -c 100                  latency at 1,000 messages a second
    warren perf scenario persistent             one of the named loads
    warren perf churn connection                connections opened and closed

    Exit codes: 0 all is well, 1 the broker or the network failed, 2 wrong usage, 3 messages were lost, came twice or in
    the wrong order.
    """


for command in (run, scenario, churn, compare_command, scaling, plot, page):
    perf.add_command(command)


COMMANDS: Final = (perf,)
