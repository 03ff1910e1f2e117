"""Serving options as a person types them: `name=value`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.changes import DEFAULTS, check_names
from camserve.serving.config.checks import RANGES, SWITCHES
from camserve.serving.config.serving_options import Resource

__all__ = ["format_option", "parse_option", "parse_settings"]

_YES, _NO = ("on", "yes", "true", "1"), ("off", "no", "false", "0")
_NOTHING = ("none", "")
_UNITS: Mapping[str, int] = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_EXAMPLES: Mapping[str, str] = {
    "preferred_batch_sizes": "4,8",
    "gpus": "0,1",
    "versions": "3,5, or latest, or all",
    "rate_limiter_resources": "disk:1,link:2",
}
_SIZES = ("gpu_mem_limit", "tensorrt_workspace")
_SIZE = re.compile(r"(\d+)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Options by name, of words such as `max_queue_size=64`; a later one goes before an earlier.

    Raises:
        UsageError: If a word has no `=`, or the name or the value is not an option's.
    """
    given: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise UsageError(f"{setting!r} sets nothing", hint="Give a name and a value, such as max_queue_size=64")
        given[name.strip()] = parse_option(name.strip(), text.strip())
    return given


def parse_option(name: str, text: str) -> Any:
    """The value that a text means for an option. Lists take commas, sizes take K, M and G, `none` is the default.

    Law: `parse_option(name, format_option(value)) == value`.

    Raises:
        UsageError: If there is no such option, or the text is no value of its kind.
    """
    check_names([name])
    default = DEFAULTS[name]
    if name == "rate_limiter_resources":
        return tuple(_resource(part) for part in _parts(text))
    if name == "versions" and text in ("latest", "all"):
        return text
    if isinstance(default, tuple) or name == "versions":
        return tuple(_number(name, part) for part in _parts(text))
    if text.lower() in _NOTHING and default is None:
        return None
    if name in SWITCHES:
        return _switch(name, text)
    return _number(name, text) if name in RANGES else text


def format_option(value: Any) -> str:
    """A value as `parse_option` reads it."""
    if isinstance(value, tuple):
        return ",".join(format_option(part) for part in value) or "none"
    if isinstance(value, Resource):
        return f"{value.name}:{value.count}" + (":shared" if value.shared else "")
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _parts(text: str) -> list[str]:
    return [] if text.lower() in _NOTHING else [part.strip() for part in text.split(",")]


def _number(name: str, text: str) -> int:
    if name in _SIZES:
        return _size(name, text)
    if not text.isdecimal():
        hint = f"Give {name}={_EXAMPLES.get(name, DEFAULTS[name] or 1)}"
        raise UsageError(f"{name} takes whole numbers and is given {text!r}", hint=hint)
    return int(text)


def _size(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{name} takes a size and is given {text!r}", hint=f"Give bytes, or a size such as {name}=8G")
    return int(match.group(1)) * _UNITS[match.group(2).upper()]


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES + _NO:
        raise UsageError(f"{name} is on or off and is given {text!r}", hint=f"Give {name}=on or {name}=off")
    return text.lower() in _YES


def _resource(text: str) -> Resource:
    name, _, rest = text.partition(":")
    count, _, shared = rest.partition(":")
    if not name or shared not in ("", "shared"):
        raise UsageError(
            f"{text!r} is no resource", hint="Give name:count, and name:count:shared for one pool of all devices"
        )
    return Resource(name=name, count=_number("rate_limiter_resources", count or "1"), shared=bool(shared))
