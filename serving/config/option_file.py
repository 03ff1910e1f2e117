"""Files of serving options, which `camserve publish --options` reads.

    # Any comments, such as the measurements behind the options
    backend = "onnxruntime"

    [options]
    instances = 2
    batch_sizes = [1, 8]
    gpu_mem_limit = "8G"

The names in `[options]` are those of `--set`. Texts are parsed as `--set` parses them, and `"none"` stands for no
value, which TOML lacks. What `write_option_file` wrote, `read_option_file` returns.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from camserve.atomic import replace_file
from camserve.errors import UsageError
from camserve.regular_file import read_regular_file
from camserve.serving.config.backends import Backend
from camserve.serving.config.named_options import OPTIONS, check_values, format_value, parse_settings
from camserve.text import excerpt, printable, reason, suggest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["OptionFile", "read_option_file", "write_option_file"]

_BACKEND, _OPTIONS = "backend", "options"


@dataclass(frozen=True)
class OptionFile:
    """What a file of serving options sets.

    Attributes:
        backend: Triton's backend that runs the model; None if the file does not set it.
        options: Serving options by name, only those that the file sets.
    """

    backend: Backend | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read_option_file(path: str | Path) -> OptionFile:
    """Read a file of serving options.

    Args:
        path: A TOML file with `backend` and the table `[options]`, both optional.

    Raises:
        UsageError: If the file cannot be read or is not TOML, or a name or a value in it is invalid; the message names
            the file.
    """
    path = Path(path)
    document = _parse(path)
    try:
        _check_keys(document)
        options = {name: _value(name, value) for name, value in document.get(_OPTIONS, {}).items()}
        check_values(options)
    except UsageError as error:
        raise UsageError(f"{printable(path)}: {error.message}", hint=error.hint) from None
    return OptionFile(cast("Backend | None", document.get(_BACKEND)), options)


def write_option_file(
    path: str | Path, *, backend: str | None = None, options: Mapping[str, Any], comments: Sequence[str] = ()
) -> None:
    """Write a file of serving options, which replaces an existing file.

    Args:
        path: The file.
        backend: Triton's backend that runs the model; None to leave it out.
        options: Serving options by name.
        comments: Lines for the head of the file, such as the measurements behind the options.

    Raises:
        UsageError: If the backend, a name or a value is invalid, or the file cannot be written.
    """
    check_values(options)
    if backend is not None:
        _check_backend(backend)
    lines = [f"# {printable(line)}".rstrip() for line in comments]
    if backend is not None:
        lines += [f"{_BACKEND} = {_toml(backend)}", ""]
    lines += [f"[{_OPTIONS}]", *(f"{name} = {_toml(value)}" for name, value in options.items())]
    path = Path(path)
    try:
        with replace_file(path) as replacement:
            replacement.stream.write(("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise UsageError(
            f"{printable(path)} cannot be written: {reason(error, path)}", hint="Choose another file"
        ) from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_regular_file(path).decode())
    except OSError as error:
        raise UsageError(
            f"{printable(path)} cannot be read: {reason(error, path)}",
            hint="Pass a TOML file such as docs/tuning.md shows",
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{printable(path)} is not a TOML file: {printable(str(error))}",
            hint='Write lines such as instances = 2 below [options], and texts in quotes: accelerator = "none"',
        ) from error


def _check_keys(document: Mapping[str, Any]) -> None:
    for key in document:
        if key in OPTIONS:
            raise UsageError(f"{key} is not below [{_OPTIONS}]", hint=f"Write the line [{_OPTIONS}] before it")
        if key not in (_BACKEND, _OPTIONS):
            hint = suggest(key, (_BACKEND, _OPTIONS)) or f"Keep only {_BACKEND} and [{_OPTIONS}] outside [{_OPTIONS}]"
            raise UsageError(f"unknown key {printable(repr(key))}", hint=hint)
    if _BACKEND in document:
        _check_backend(document[_BACKEND])
    if not isinstance(document.get(_OPTIONS, {}), dict):
        raise UsageError(f"{_OPTIONS} must be a table", hint=f"Write the line [{_OPTIONS}] and the options below it")


def _check_backend(backend: Any) -> None:
    if backend not in get_args(Backend):
        raise UsageError(f"unknown {_BACKEND} {excerpt(backend)}", hint=f"Choose {', '.join(get_args(Backend))}")


def _value(name: str, value: Any) -> Any:
    """Return the value of an option for a value of TOML."""
    if isinstance(value, str) and name in OPTIONS:
        return parse_settings([f"{name}={value}"])[name]
    return tuple(value) if isinstance(value, list) else value


def _toml(value: Any) -> str:
    """Return a value as TOML; what TOML lacks as the text that `--set` takes."""
    if isinstance(value, list | tuple) and value and all(type(part) is int for part in value):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # A JSON string of ASCII is a basic string of TOML, but for characters that are two escapes of JSON.
    text = format_value(tuple(value) if isinstance(value, list) else value)
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
