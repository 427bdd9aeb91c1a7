"""Settings: sources, their order, and what a mistake is told."""
from __future__ import annotations

from pathlib import Path

import pytest

from broker.settings import Settings, SettingsError, load, plain


def write(directory: Path, text: str) -> Path:
    file = directory / "warren.toml"
    file.write_text(text, "utf-8")
    return file


def test_without_sources_the_defaults_stand() -> None:
    settings = load(None, {}, {})
    assert (settings.host, settings.port, settings.link) == ("127.0.0.1", 5672, "shared-memory")
    assert settings.gateways >= 1
    assert settings.shards >= 1


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'port = 1001\nheartbeat_s = 10\nlog_level = "error"')
    environment = {"WARREN_PORT": "1002", "WARREN_HEARTBEAT_S": "20", "HOME": "/"}
    settings = load(file, environment, {"port": 1003, "host": None})
    assert (settings.port, settings.heartbeat_s, settings.log_level) == (1003, 20, "error")


def test_a_list_in_the_environment_is_separated_by_commas() -> None:
    assert load(None, {"WARREN_LOOPBACK_USERS": "guest, test"}, {}).loopback_users == ["guest", "test"]
    assert load(None, {"WARREN_LOOPBACK_USERS": ""}, {}).loopback_users == []


@pytest.mark.parametrize(
    ("text", "environment", "flags", "expected"),
    [
        ("prot = 5672", {}, {}, "warren.toml: unknown setting 'prot'; did you mean 'port'?"),
        ("qwertz = 1", {}, {}, "warren.toml: unknown setting 'qwertz'; `warren settings` lists all"),
        ("", {"WARREN_PROT": "1"}, {}, "environment: unknown setting 'WARREN_PROT'; did you mean 'WARREN_PORT'?"),
        ("port = 70000", {}, {}, "warren.toml: setting 'port' is 70000: input should be less than or equal to 65535"),
        ("", {"WARREN_SHARDS": "many"}, {}, "environment: setting 'WARREN_SHARDS' is 'many': input should be a valid"),
        ("", {}, {"gateways": 0}, "command line: setting '--gateways' is 0: input should be greater than"),
        ('link = "pigeon"', {}, {}, "setting 'link' is 'pigeon': input should be 'shared-memory' or 'zeromq'"),
        ("link_ring_bytes = 100000", {}, {}, "setting 'link_ring_bytes' is 100000: must be a multiple of 4096"),
        ("port = ", {}, {}, "warren.toml: not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_its_source_and_key(
    tmp_path: Path, text: str, environment: dict[str, str], flags: dict[str, object], expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), environment, flags)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_settings_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        load(tmp_path / "none.toml", {}, {})


def test_plain_settings_make_the_same_settings_again() -> None:
    settings = load(None, {}, {"data": "/somewhere"})
    assert Settings(**plain(settings)) == settings
