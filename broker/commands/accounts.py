"""Virtual hosts, users, permissions."""
from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from broker.commands.client import BrokerClient, data_option

vhost_option = click.option("--vhost", "-p", default="/", show_default=True, help="Virtual host.")
default_queue_type_option = click.option(
    "--default-queue-type", help="Of queues that are declared without a type: classic, quorum ...",
)
vhost_tags_option = click.option("--tag", "tags", multiple=True, help="May be given several times.")
password_option = click.option(
    "--password", envvar="WARREN_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True,
    help="Asked for where it is not given.",
)


@click.command("add-vhost")
@click.argument("name")
@click.option("--description", default="", help="For people.")
@vhost_tags_option
@default_queue_type_option
@data_option
def add_vhost(
    name: str, description: str, tags: tuple[str, ...], default_queue_type: str | None, data: Path
) -> None:
    """Add a virtual host. Users need permissions in it."""
    answer = BrokerClient(data).catalog(
        "vhost.add", name=name, description=description, tags=list(tags), default_queue_type=default_queue_type
    )
    _tell(answer, "created", f"vhost {name!r} added", "there already")


@click.command("update-vhost-metadata")
@click.argument("name")
@click.option("--description", help="For people.")
@vhost_tags_option
@default_queue_type_option
@click.option(
    "--protected-from-deletion/--not-protected-from-deletion", "protected", default=None,
    help="Whether delete-vhost is refused.",
)
@data_option
def update_vhost_metadata(
    name: str, description: str | None, tags: tuple[str, ...], default_queue_type: str | None, protected: bool | None,
    data: Path,
) -> None:
    """Change the description, the tags, the default queue type or the protection of a virtual host."""
    BrokerClient(data).catalog(
        "vhost.update", name=name, description=description, tags=list(tags) or None,
        default_queue_type=default_queue_type, protected_from_deletion=protected,
    )
    click.echo(f"vhost {name!r} updated")


@click.command("delete-vhost")
@click.argument("name")
@data_option
def delete_vhost(name: str, data: Path) -> None:
    """Delete a virtual host with its queues and their messages."""
    _tell(BrokerClient(data).catalog("vhost.delete", name=name), "deleted", f"vhost {name!r} deleted", "not there")


@click.command("add-user")
@click.argument("name")
@password_option
@click.option("--tag", "tags", multiple=True, help="administrator, monitoring, ...; may be given several times.")
@data_option
def add_user(name: str, password: str, tags: tuple[str, ...], data: Path) -> None:
    """Add a user, without permissions."""
    answer = BrokerClient(data).catalog("user.add", name=name, password=password, tags=list(tags))
    _tell(answer, "created", f"user {name!r} added", "there already, the same")


@click.command("delete-user")
@click.argument("name")
@data_option
def delete_user(name: str, data: Path) -> None:
    """Delete a user."""
    _tell(BrokerClient(data).catalog("user.delete", name=name), "deleted", f"user {name!r} deleted", "not there")


@click.command("change-password")
@click.argument("name")
@password_option
@data_option
def change_password(name: str, password: str, data: Path) -> None:
    """Give a user another password."""
    BrokerClient(data).catalog("user.change_password", name=name, password=password)
    click.echo(f"password of {name!r} changed")


@click.command("set-user-tags")
@click.argument("name")
@click.argument("tags", nargs=-1)
@data_option
def set_user_tags(name: str, tags: tuple[str, ...], data: Path) -> None:
    """Give a user these tags, and no others."""
    BrokerClient(data).catalog("user.set_tags", name=name, tags=list(tags))
    click.echo(f"tags of {name!r}: {', '.join(tags) or 'none'}")


@click.command("set-permissions")
@click.argument("user")
@click.argument("configure")
@click.argument("write")
@click.argument("read")
@vhost_option
@data_option
def set_permissions(user: str, configure: str, write: str, read: str, vhost: str, data: Path) -> None:
    """Let a user configure, write to and read from what matches these patterns ('.*': everything, '': nothing)."""
    BrokerClient(data).catalog(
        "permissions.set", vhost=vhost, user=user, configure=configure, write=write, read=read
    )
    click.echo(f"permissions of {user!r} in vhost {vhost!r} set")


@click.command("delete-permissions")
@click.argument("user")
@vhost_option
@data_option
def delete_permissions(user: str, vhost: str, data: Path) -> None:
    """Shut a user out of a virtual host."""
    answer = BrokerClient(data).catalog("permissions.clear", vhost=vhost, user=user)
    _tell(answer, "deleted", f"permissions of {user!r} in vhost {vhost!r} deleted", "not there")


@click.command("set-topic-permissions")
@click.argument("user")
@click.argument("exchange")
@click.argument("write")
@click.argument("read")
@vhost_option
@data_option
def set_topic_permissions(user: str, exchange: str, write: str, read: str, vhost: str, data: Path) -> None:
    """Restrict the routing keys with which a user may publish to, and bind to, a topic EXCHANGE.

    The patterns may name the variables {username} and {vhost}. They come on top of the user's permissions.
    """
    BrokerClient(data).catalog(
        "topic_permissions.set", vhost=vhost, user=user, exchange=exchange, write=write, read=read
    )
    click.echo(f"topic permissions of {user!r} at exchange {exchange!r} in vhost {vhost!r} set")


@click.command("clear-topic-permissions")
@click.argument("user")
@click.argument("exchange", required=False)
@vhost_option
@data_option
def clear_topic_permissions(user: str, exchange: str | None, vhost: str, data: Path) -> None:
    """Lift the restrictions of a user's routing keys at one EXCHANGE, or at all."""
    answer = BrokerClient(data).catalog("topic_permissions.clear", vhost=vhost, user=user, exchange=exchange)
    _tell(answer, "deleted", f"topic permissions of {user!r} in vhost {vhost!r} cleared", "not there")


def _tell(answer: dict[str, object], key: str, done: str, otherwise: str) -> None:
    click.echo(done if answer.get(key, True) else otherwise)


COMMANDS: Final = (
    add_vhost, update_vhost_metadata, delete_vhost, add_user, delete_user, change_password, set_user_tags,
    set_permissions, delete_permissions, set_topic_permissions, clear_topic_permissions,
)
