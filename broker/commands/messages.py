"""`warren queue`: looking at single messages of a queue, deleting and moving them, without consuming any."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from broker.commands.client import BrokerClient, data_option
from broker.commands.output import format_option, rows_table, show
from broker.commands.queues import queue_named, vhost_option

Message = dict[str, Any]
Command = Callable[..., Any]

COUNT_DEFAULT: Final = 100
PAGE_MESSAGES: Final = 500
"""Asked for at once; the shard's answers have limits of their own."""
PAYLOAD_SHOWN_CHARACTERS: Final = 60
POSITIONS: Final = re.compile(r"(\d+)(?:-(\d+))?")
STATES: Final = {"ready": ["ready"], "unacked": ["unacked"], "delayed": ["delayed"],
                 "all": ["ready", "unacked", "delayed"]}
STATES_NOT_HELD: Final = {"ready": ["ready"], "delayed": ["delayed"], "all": ["ready", "delayed"]}
COLUMNS: Final = ("position", "state", "priority", "redelivered", "exchange", "routing_key", "headers",
                  "payload_bytes", "payload")


@click.group()
def queue() -> None:
    """Look at single messages of a queue, delete or move them, without consuming any."""


def filter_options(states: dict[str, list[str]]) -> Callable[[Command], Command]:
    """The options that say which messages are meant."""
    options = (
        click.option("--search", metavar="TEXT", help="Text in the routing key, the properties or the body."),
        click.option("--header", "headers", metavar="KEY=VALUE", multiple=True,
                     help="A header and its value; may be given several times."),
        click.option("--routing-key", metavar="PATTERN", help="A pattern as of topic exchanges: * one word, # any."),
        click.option("--state", type=click.Choice(list(states)), default="ready", show_default=True,
                     help="Ready, held by a consumer (unacked), or waiting for its time (delayed)."),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@queue.command("browse")
@click.argument("name", metavar="QUEUE")
@vhost_option
@click.option("--from", "first", type=click.IntRange(0), default=0, help="The lowest position to look at.")
@click.option("--count", type=click.IntRange(1), default=COUNT_DEFAULT, show_default=True, help="Messages at most.")
@filter_options(STATES)
@click.option("--body/--no-body", default=True, help="Show the start of each body.")
@data_option
@format_option
def browse(
    name: str, vhost: str, first: int, count: int, search: str | None, headers: tuple[str, ...],
    routing_key: str | None, state: str, body: bool, data: Path, output_format: str,
) -> None:
    """Show messages of QUEUE by ascending position. They stay where they are and as they are."""
    client = BrokerClient(data)
    asked = filter_fields(search, headers, routing_key, STATES[state])
    asked |= {"payload": body, "count": min(PAGE_MESSAGES, count)}
    rows: list[Message] = []
    for answer in pages(client, queue_named(client, vhost, name), "queue.browse", asked, first):
        rows += answer["messages"]
        if len(rows) >= count:
            break
        asked["count"] = min(PAGE_MESSAGES, count - len(rows))
    show(rows, output_format, lambda: rows_table(map(_line, rows), COLUMNS if body else COLUMNS[:-1]))


@queue.command("delete-message")
@click.argument("name", metavar="QUEUE")
@click.argument("positions", nargs=-1, metavar="[POSITIONS]...")
@vhost_option
@click.option("--all", "everything", is_flag=True, help="Every message of the state.")
@filter_options(STATES_NOT_HELD)
@data_option
def delete_message(
    name: str, positions: tuple[str, ...], vhost: str, everything: bool, search: str | None, headers: tuple[str, ...],
    routing_key: str | None, state: str, data: Path,
) -> None:
    """Delete messages of QUEUE: by POSITIONS such as 5,7-10 (from browse), or those that a filter finds.

    They are gone for good, no dead letter is made of them. What a consumer holds stays.
    """
    asked = chosen(positions, everything, search, headers, routing_key, STATES_NOT_HELD[state])
    client = BrokerClient(data)
    answers = pages(client, queue_named(client, vhost, name), "queue.delete_messages", asked)
    click.echo(f"{sum(answer['message_count'] for answer in answers)} messages deleted")


@queue.command("move")
@click.argument("name", metavar="QUEUE")
@click.argument("positions", nargs=-1, metavar="[POSITIONS]...")
@vhost_option
@click.option("--to", "target", metavar="QUEUE", help="The queue to move to; messages keep exchange and routing key.")
@click.option("--to-exchange", metavar="EXCHANGE", help="Instead: an exchange that routes them ('': the default one).")
@click.option("--to-routing-key", metavar="KEY", help="With --to-exchange; without it each keeps its own.")
@click.option("--all", "everything", is_flag=True, help="Every message of the state.")
@filter_options(STATES_NOT_HELD)
@data_option
def move(
    name: str, positions: tuple[str, ...], vhost: str, target: str | None, to_exchange: str | None,
    to_routing_key: str | None, everything: bool, search: str | None, headers: tuple[str, ...],
    routing_key: str | None, state: str, data: Path,
) -> None:
    """Move messages of QUEUE, in their order: by POSITIONS such as 5,7-10, or those that a filter finds.

    A message is gone from QUEUE only when its new queue has it. Where a target is full, the move stops.
    """
    if (target is None) == (to_exchange is None) or (to_exchange is None and to_routing_key is not None):
        raise click.UsageError("say where to: --to QUEUE, or --to-exchange EXCHANGE perhaps with --to-routing-key KEY")
    asked = chosen(positions, everything, search, headers, routing_key, STATES_NOT_HELD[state])
    client = BrokerClient(data)
    found = queue_named(client, vhost, name)
    if target is not None:
        asked["to_queue_id"] = queue_named(client, vhost, target)["queue_id"]
    else:
        asked |= {"to_exchange": to_exchange, "to_routing_key": to_routing_key}
    count = unroutable = 0
    for answer in pages(client, found, "queue.move_messages", asked):
        count += answer["message_count"]
        unroutable += answer["unroutable"]
        if answer["stopped"]:
            raise click.ClickException(f"{count} messages moved, then it stopped: {answer['stopped']}")
    click.echo(f"{count} messages moved" + (f", {unroutable} that no queue is bound for stay" if unroutable else ""))


def pages(client: BrokerClient, found: Message, verb: str, asked: Message, first: int = 0) -> Iterator[Message]:
    """The answers of a queue's shard, each asked for where the one before ended."""
    following: int | None = first
    end: Message = {}
    while following is not None:
        question = {"verb": verb, "queue_id": found["queue_id"], "from": following, **end, **asked}
        answer = client.call("shard", found["shard"], question)[0]
        yield answer
        following = answer["next"]
        # what comes meanwhile does not belong to it: it might be the same messages, rejected once more
        end = end or {"to": answer["last"]}


def chosen(
    positions: tuple[str, ...], everything: bool, search: str | None, headers: tuple[str, ...],
    routing_key: str | None, states: list[str],
) -> Message:
    """The fields that say what is to be changed; refused where nobody said it."""
    if everything == bool(positions or search or headers or routing_key is not None):
        raise click.UsageError("say which messages: by positions (5,7-10), by --search, --header or --routing-key, "
                               "or --all of them")
    asked = filter_fields(search, headers, routing_key, states)
    if positions:
        asked["positions"] = ranges(positions)
    return asked


def filter_fields(
    search: str | None, headers: tuple[str, ...], routing_key: str | None, states: list[str]
) -> Message:
    asked: Message = {"states": states}
    if search:
        asked["search"] = search
    if headers:
        asked["headers"] = dict(map(_header, headers))
    if routing_key is not None:
        asked["routing_key"] = routing_key
    return asked


def _header(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--header")
    return key, value


def ranges(positions: tuple[str, ...]) -> list[list[int]]:
    """Pairs of a first and a last position, from words such as 5,7-10."""
    pairs = []
    for part in ",".join(positions).split(","):
        match = POSITIONS.fullmatch(part.strip())
        if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
            raise click.BadParameter(f"{part!r} is no position and no range such as 7-10", param_hint="POSITIONS")
        pairs.append([int(match[1]), int(match[2] or match[1])])
    return pairs


def _line(row: Message) -> Message:
    """A row for the table: one line, whatever the payload holds."""
    payload = row.get("payload", "")
    if row.get("payload_encoding") == "base64":
        payload = f"base64:{payload}"
    if row.get("payload_truncated") or len(payload) > PAYLOAD_SHOWN_CHARACTERS:
        payload = payload[:PAYLOAD_SHOWN_CHARACTERS] + "..."
    return {**row, "headers": row["properties"].get("headers", {}), "payload": payload}


COMMANDS: Final = (queue,)
