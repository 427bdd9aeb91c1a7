"""Options that several commands of `warren perf` have, and how their values become a load and a target."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError

from bench.perf.errors import LoadError
from bench.perf.load import Load
from bench.perf.messages import properties
from bench.perf.plots import check_plot
from bench.perf.run import Target
from bench.perf.url import DEFAULT_URL
from broker.data_directory import read_broker_file

Command = Callable[..., Any]

FLAGS: Final = {"persistent": ("persistent", "durable"), "mandatory": ("mandatory",)}
"""What the flags of PerfTest stand for: one of them makes durable queues, too."""
FLAGS_OF_KEYS: Final = {"warmup_s": "--warmup", "drain_timeout_s": "--drain-timeout",
                        "polling_interval_ms": "--polling-interval"}
"""Where the option is not the key with its underscores replaced."""


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _value(text: str) -> Any:
    """As AMQP has it: true and false, integers, else a string."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _pairs(_: click.Context, parameter: click.Parameter, texts: Iterable[str]) -> dict[str, Any]:
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param=parameter)
        found[key] = _value(value)
    return found


def pair_option(flag: str, name: str, help_text: str) -> Callable[[Command], Command]:
    """An option that may be given several times, with a pair each time."""
    return click.option(flag, name, metavar="KEY=VALUE", multiple=True, callback=_pairs, help=help_text)


shape_options = together(
    click.option("-x", "--producers", type=int, help="Connections that publish.  [default: 1]"),
    click.option("-y", "--consumers", type=int, help="Connections that consume.  [default: 1]"),
    click.option("--queues", type=int, help="Dealt out over producers and consumers.  [default: 1]"),
    click.option("-u", "--queue", help="The only queue, by its name; it is not deleted."),
    click.option("--queue-prefix", help="Queues are PREFIX-0, PREFIX-1, ...  [default: one that nobody has]"),
    click.option("--processes", type=int, help="Processes of the load.  [default: half as many as cores, or 2]"),
)
message_options = together(
    click.option("-s", "--size", type=int, help="Bytes of a body; 24 or more are checked one by one.  [default: 100]"),
    click.option("--persistent", is_flag=True, default=None, help="Delivery mode 2."),
    click.option("--mandatory", is_flag=True, default=None, help="Messages without a route are returned."),
    click.option("-f", "--flag", "flags", type=click.Choice(list(FLAGS)), multiple=True,
                 help="As PerfTest has it: --persistent with --durable, or --mandatory."),
    pair_option("--property", "properties", "A property of each message, such as priority=5."),
    pair_option("--header", "headers", "A header of each message."),
)
queue_options = together(
    click.option("--durable", is_flag=True, default=None, help="Queues, and the exchange, survive a restart."),
    click.option("--queue-type", help="classic, quorum, stream."),
    pair_option("--queue-argument", "queue_arguments", "An argument of each queue, such as x-max-length=1000."),
    click.option("--keep", is_flag=True, default=None, help="Leave queues and exchange there."),
    click.option("--purge", is_flag=True, default=None, help="Empty queues that exist already."),
)
routing_options = together(
    click.option("-t", "--exchange-type", "--type", "exchange_type",
                 type=click.Choice(["direct", "fanout", "topic", "headers"]),
                 help="An exchange of that type between producers and queues.  [default: the default exchange]"),
    click.option("--routing-keys", type=int, help="Used in turn, dealt out over the queues.  [default: one per queue]"),
)
pace_options = together(
    click.option("-c", "--confirm", type=int, help="Unconfirmed messages per producer at most; 0: no confirms."),
    click.option("-r", "--rate", type=float, help="Messages per second and producer.  [default: no limit]"),
    click.option("-a", "--auto-ack", "--autoack", "auto_ack", is_flag=True, default=None,
                 help="Consumers acknowledge automatically."),
    click.option("-A", "--ack-every", "--multi-ack-every", "ack_every", type=int,
                 help="One acknowledgement for so many deliveries.  [default: 1]"),
    click.option("-R", "--consumer-rate", type=float, help="Messages per second and consumer.  [default: no limit]"),
    click.option("-q", "-Q", "--prefetch", "--qos", "prefetch", type=int,
                 help="Unacknowledged messages per consumer; 0: no limit."),
    pair_option("--consume-argument", "consume_arguments", "An argument of basic.consume."),
)
request_options = together(
    click.option("--rpc", type=click.Choice(["direct", "queue"]), metavar="direct|queue",
                 help="Producers ask, consumers answer: to amq.rabbitmq.reply-to, or to each one's own queue."),
    click.option("--requests", type=int, help="Requests without an answer per client at most.  [default: 1]"),
    click.option("--polling", is_flag=True, default=None, help="Consumers use basic.get, one after the other."),
    click.option("--polling-interval", "polling_interval_ms", type=float, metavar="MS",
                 help="From one basic.get to the next at least.  [default: 0]"),
)
time_options = together(
    click.option("-z", "--seconds", "--time", "seconds", type=float, help="How long is measured.  [default: 5]"),
    click.option("-C", "--count", "--pmessages", "count", type=int, help="Messages in all, instead of seconds."),
    click.option("--warmup", "warmup_s", type=float, help="Seconds before that.  [default: 0]"),
    click.option("--drain-timeout", "drain_timeout_s", type=float,
                 help="How long to wait for messages that do not come.  [default: 10]"),
    click.option("--verify/--no-verify", default=None, help="Check each message.  [default: verify]"),
)
mode_options = together(
    click.option("--publish-only", "mode", flag_value="publish", type=str, help="No consumers."),
    click.option("--drain", "mode", flag_value="drain", type=str, help="No producers: consume what is there."),
    click.option("--fill-and-drain", "mode", flag_value="backlog", type=str, help="First the one, then the other."),
)
target_options = together(
    click.option("-H", "--url", "--uri", "urls", multiple=True, metavar="URL",
                 help=f"amqp://user:password@host:port/vhost; several are used in turn.  [default: {DEFAULT_URL}]"),
    click.option("--pid", "pids", type=int, multiple=True,
                 help="Root of a process tree of the broker: it is measured."),
    click.option("--data", type=click.Path(path_type=Path), envvar="WARREN_DATA",
                 help="Data directory of a Warren on this machine: tells its address and its processes."),
)


class _OutputPath(click.Path):
    """A file that can be written: found out before a run, not after it."""

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path, allow_dash=allow_dash)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        path = Path(value)
        if not (self.allow_dash and str(path) == "-") and not os.access(path.parent, os.W_OK):
            self.fail(f"{str(path.parent)!r} is no directory that can be written.", parameter, context)
        return super().convert(value, parameter, context)


class _PlotPath(_OutputPath):
    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            check_plot(Path(value))
        except LoadError as error:
            self.fail(str(error), parameter, context)
        return super().convert(value, parameter, context)


plot_option = click.option("--plot", "plot_files", type=_PlotPath(), multiple=True, metavar="FILE",
                           help="Draw a plot as .png or .svg; needs pip install 'warren[perf]'.")
csv_option = click.option("--csv", "csv_file", type=_OutputPath(), metavar="FILE", help="Write the key figures.")
raw_option = click.option("--json", "json_file", type=_OutputPath(), metavar="FILE", help="Write all raw results.")
output_options = together(
    click.option("--json", "json_file", type=_OutputPath(allow_dash=True), metavar="FILE",
                 help="Write the raw result; - for standard output, instead of the table."),
    csv_option,
    plot_option,
    click.option("--progress/--no-progress", default=True, help="A line on standard error each second."),
)


def load_from(values: dict[str, Any], **fixed: Any) -> Load:
    """The load of the options that were given. A value that cannot be is an error of usage that names its option."""
    try:
        load = Load(**{**given(values), **fixed})
        if load.keys:
            properties(load, 0)
    except ValidationError as error:
        raise usage_error(error) from None
    except LoadError as error:
        raise click.UsageError(f"--property, --header: {error}") from None
    return load


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Without the options that were not given."""
    return {key: value for key, value in values.items() if value is not None and value != {}}


def usage_error(error: ValidationError) -> click.UsageError:
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return click.UsageError(reason)
    key = str(first["loc"][0])
    flag = FLAGS_OF_KEYS.get(key, "--" + key.replace("_", "-"))
    return click.UsageError(f"{flag} {first['input']}: {reason[:1].lower()}{reason[1:]}")


def check_process(option: str, pid: int) -> None:
    """A process that is not there would be measured as one that costs nothing."""
    if not Path(f"/proc/{pid}").is_dir():
        raise click.UsageError(f"{option} {pid}: there is no such process")


def target_from(urls: tuple[str, ...], pids: tuple[int, ...], data: Path | None, name: str = "") -> Target:
    """Where the load goes, and whose CPU and memory are measured."""
    for pid in pids:
        check_process("--pid", pid)
    if data is None:
        return Target(urls or (DEFAULT_URL,), pids, name)
    found = read_broker_file(data)
    if found is None:
        raise click.ClickException(f"no broker is running on data directory {data}")
    host = str(found["host"])
    address = f"amqp://{f'[{host}]' if ':' in host else host}:{found['port']}"
    return Target(urls or (address,), pids or (int(found["pid"]),), name)
