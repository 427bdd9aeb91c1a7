"""The settings of a broker: what there is, its defaults, and where each value came from.

Read in this order, later wins: defaults, the TOML file, the environment (WARREN_PORT=5673), flags of `warren serve`.
A value that is not valid is refused with the name of the setting and of its source; nothing is guessed.
Never touches the data directory.
"""
from __future__ import annotations

import difflib
import mmap
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bus.context import StartError
from bus.limits import LINK_RING_BYTES

ENVIRONMENT_PREFIX: Final = "WARREN_"
ENVIRONMENT_NOT_SETTINGS: Final = frozenset({"WARREN_SETTINGS", "WARREN_SANITIZE", "WARREN_RUNTIME"})

MIB: Final = 1024 * 1024
PROCESSES_MAX: Final = 256
"""Of each role; far above any machine's cores, low enough that doorbells and rings stay affordable."""


class SettingsError(StartError):
    """A setting that is unknown or not valid."""


def _whole_pages(value: int) -> int:
    if value % mmap.PAGESIZE:
        raise ValueError(f"must be a multiple of {mmap.PAGESIZE}")
    return value


def _split(value: Any) -> Any:
    """A list comes from the environment as `a,b`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Settings(BaseModel):
    """All settings. Names are the keys of the TOML file; units stand last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # where
    data: Path = Path("data")
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"          # a name or an address; "*": all interfaces
    port: Annotated[int, Field(ge=0, le=65535)] = 5672              # 0: any free port, told in the ready line
    backlog: Annotated[int, Field(ge=1, le=65535)] = 4096

    # processes and links
    gateways: Annotated[int, Field(ge=1, le=PROCESSES_MAX)] = Field(default_factory=lambda: max(1, cores() // 2))
    shards: Annotated[int, Field(ge=1, le=PROCESSES_MAX)] = Field(default_factory=lambda: max(1, cores() // 2))
    link: Literal["shared-memory", "zeromq"] = "shared-memory"
    link_ring_bytes: Annotated[int, Field(ge=64 * 1024, le=1 << 30), AfterValidator(_whole_pages)] = LINK_RING_BYTES

    # what the first start creates; with load_definitions there is no default vhost and user
    default_user: Annotated[str, Field(min_length=1, max_length=255)] = "guest"
    default_pass: str = "guest"
    default_vhost: Annotated[str, Field(min_length=1, max_length=255)] = "/"
    loopback_users: Annotated[list[str], BeforeValidator(_split)] = ["guest"]
    load_definitions: Annotated[Path | None, BeforeValidator(_none_if_empty)] = None    # a file or a directory
    definitions_skip_if_unchanged: bool = False

    # what is agreed with clients
    cluster_name: str = "warren"
    heartbeat_s: Annotated[int, Field(ge=0, le=65535)] = 60          # 0: none
    frame_max: Annotated[int, Field(ge=4096, le=16 * MIB)] = 131072
    channel_max: Annotated[int, Field(ge=1, le=65535)] = 2047
    connection_max: Annotated[int, Field(ge=0)] = 0                  # of the whole broker; 0: no limit
    consumer_max_per_channel: Annotated[int, Field(ge=0)] = 0        # 0: no limit
    handshake_timeout_s: Seconds = 10.0
    max_message_size: Annotated[int, Field(ge=1, le=512 * MIB)] = 128 * MIB

    # memory and disk
    memory_watermark: Annotated[float, Field(gt=0, le=1)] = 0.6      # of the machine's or the container's memory
    disk_free_limit_bytes: Bytes = 50 * 1000 * 1000
    segment_bytes: Annotated[int, Field(ge=MIB, le=1 << 30), AfterValidator(_whole_pages)] = 64 * MIB
    transient_bytes_max: Bytes = 1 << 30                             # per shard, in memory; more goes to the disk

    # logs and supervision
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    shutdown_timeout_s: Seconds = 10.0                               # for each role in turn, then it is killed
    silence_s_max: Seconds = 30.0                                    # a process silent for longer is restarted


def load(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any], *, file_must_exist: bool = True
) -> Settings:
    """The settings from all sources; SettingsError names the source and the key at fault."""
    sources: list[tuple[str, dict[str, Any]]] = [
        (str(file), _read_file(file, must_exist=file_must_exist) if file is not None else {}),
        ("environment", _read_environment(environment)),
        ("command line", {key: value for key, value in flags.items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, found in sources:
        for key, value in found.items():
            if key not in Settings.model_fields:
                raise SettingsError(f"{source}: unknown setting {_shown(source, key)!r}{_suggestion(source, key)}")
            values[key] = value
            origin[key] = source
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        source = origin.get(key, "defaults")
        raise SettingsError(
            f"{source}: setting {_shown(source, key)!r} is {first['input']!r}: {reason[:1].lower()}{reason[1:]}"
        ) from None


def _read_file(file: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if not must_exist:
            return {}
        raise SettingsError(f"{file}: there is no such settings file") from None
    except OSError as error:
        raise SettingsError(f"{file}: the settings file cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in ENVIRONMENT_NOT_SETTINGS
    }


def _shown(source: str, key: str) -> str:
    """The key as its source spells it."""
    if source == "environment":
        return ENVIRONMENT_PREFIX + key.upper()
    if source == "command line":
        return "--" + key.replace("_", "-")
    return key


def _suggestion(source: str, key: str) -> str:
    close = difflib.get_close_matches(key, Settings.model_fields, n=1)
    return f"; did you mean {_shown(source, close[0])!r}?" if close else "; `warren settings` lists all"


def plain(settings: Settings) -> dict[str, Any]:
    """As plain values, for the children and for people."""
    return settings.model_dump(mode="json")
