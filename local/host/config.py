"""What `host.json` and `local.settings.json` say, read once.

Only the keys that this host obeys are read; the process environment wins over `Values`.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


class ConfigError(Exception):
    """A settings file that cannot be obeyed; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """The host.json keys that this host obeys; `function_timeout` None is without limit."""

    hub_name: str
    route_prefix: str
    custom_headers: Mapping[str, str]
    function_timeout: timedelta | None
    max_activities: int
    max_orchestrators: int
    max_polling_interval: timedelta


def load_host_config(app_dir: Path) -> HostConfig:
    """Read `host.json`; without one, or a key in it, the documented defaults hold."""
    root = _read_json(app_dir / "host.json")
    durable = _section(root, "extensions", "durableTask")
    http = _section(root, "extensions", "http")
    slots = 10 * (os.cpu_count() or 1)  # the documented default: ten per core
    polling = _text(_section(durable, "storageProvider"), "maxQueuePollingInterval", "00:00:30")
    timeout = _text(root, "functionTimeout", "00:30:00")
    headers = _section(http, "customHeaders")
    return HostConfig(
        hub_name=resolve_settings(_text(durable, "hubName", "TestHubName")),
        route_prefix=_text(http, "routePrefix", "api").strip("/"),
        custom_headers={name: _text(headers, name, "") for name in headers},
        function_timeout=None if timeout == "-1" else parse_time_span(timeout),
        max_activities=_slots(durable, "maxConcurrentActivityFunctions", slots),
        max_orchestrators=_slots(durable, "maxConcurrentOrchestratorFunctions", slots),
        max_polling_interval=parse_time_span(polling),
    )


def load_local_settings(app_dir: Path) -> None:
    """Put `Values` into the environment, where it does not say otherwise."""
    settings = _read_json(app_dir / "local.settings.json")
    if settings.get("IsEncrypted"):
        raise ConfigError("local.settings.json is encrypted; run `func settings decrypt` first")
    for name, value in _section(settings, "Values").items():
        os.environ.setdefault(name, str(value))


def worker_threads() -> int | None:
    """Give PYTHON_THREADPOOL_THREAD_COUNT; None leaves the worker's default."""
    name = "PYTHON_THREADPOOL_THREAD_COUNT"
    text = os.environ.get(name)
    if text and not (text.isdigit() and int(text) > 0):
        raise ConfigError(f"{name} is {text!r}; set a number from 1, or unset it")
    return int(text) if text else None


def resolve_settings(text: str) -> str:
    """Replace `%NAME%` by the environment's value, as the real host does in bindings."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise ConfigError(f"%{name}% is used in a binding, but no setting {name} exists; add it")
        return os.environ[name]

    return re.sub(r"%([^%]+)%", value_of, text)


def parse_time_span(text: str) -> timedelta:
    """Read .NET's `[d.]hh:mm:ss[.fraction]`.

    >>> parse_time_span("1.00:00:30")
    datetime.timedelta(days=1, seconds=30)
    """
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)", text)
    if match is None:
        raise ConfigError(f"host.json: {text!r} is no time span; write hh:mm:ss")
    days, hours, minutes, seconds = match.groups()
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def format_time_span(span: timedelta) -> str:
    """Write what `parse_time_span` reads.

    >>> format_time_span(timedelta(minutes=1, seconds=2.5))
    '00:01:02.5000000'
    """
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{span.days}." if span.days else ""
    # .NET counts in tenths of a microsecond.
    fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
    return f"{days}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(_without_comments(path.read_text(encoding="utf-8-sig")))
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}; correct it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return content


def _without_comments(text: str) -> str:
    """Take out what the real host reads over; strings and line numbers stay.

    >>> _without_comments('{"url": "http://x"} // a link')
    '{"url": "http://x"} '
    """
    return _STRING_OR_COMMENT.sub(
        lambda found: found[0] if found[0].startswith('"') else "\n" * found[0].count("\n"), text
    )


def _text(section: Mapping[str, Any], name: str, default: str) -> str:
    value = section.get(name, default)
    if not isinstance(value, str):
        raise ConfigError(f"host.json: {name} is {json.dumps(value)}; write a text in quotes")
    return value


def _slots(section: Mapping[str, Any], name: str, default: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"host.json: {name} is {value!r}; write a whole number from 1")
    return value


def _section(root: Mapping[str, Any], *names: str) -> dict[str, Any]:
    section: Mapping[str, Any] = root
    for name in names:
        section = section.get(name) or {}
        if not isinstance(section, dict):
            raise ConfigError(f"{name} is {json.dumps(section)}; write an object of names and values")
    return dict(section)
