"""The serving options of `camserve publish`: its flags, its help, and the options that they set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from camserve.cli.console import print_note
from camserve.cli.help_layout import Command
from camserve.cli.shared_options import one_of
from camserve.cores import host_cores
from camserve.errors import UsageError
from camserve.serving.config.backends import Backend, default_backend
from camserve.serving.config.named_options import DEFAULTS, OPTIONS, check_values, format_value, overlay, parse_settings
from camserve.serving.config.option import Option
from camserve.serving.config.option_file import OptionFile, read_option_file
from camserve.serving.config.option_kinds import Switch
from camserve.serving.config.presets import PRESETS, HostProfile, preset_options
from camserve.text import count, printable

__all__ = ["Cores", "OptionsFile", "Preset", "PublishCommand", "Settings", "requested_options", "with_serving_flags"]

_PANEL = "Serving"


def _option(*names: str, panel: str = _PANEL, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, show_default=False, **settings)


Preset = Annotated[
    str | None,
    _option(
        "--preset",
        metavar="NAME",
        autocompletion=one_of(PRESETS),
        help="Serving options for a kind of host; see Presets below.",
    ),
]
Cores = Annotated[
    int | None,
    _option("--cores", metavar="N", min=1, help="Cores of the serving host, for --preset.  [default: this host's]"),
]
OptionsFile = Annotated[
    Path | None,
    _option(
        "--options",
        metavar="FILE",
        help="TOML file of serving options and the backend, see docs/tuning.md. It takes precedence over "
        "--preset; flags and --set take precedence over it.",
    ),
]
Settings = Annotated[
    list[str] | None, _option("--set", metavar="NAME=VALUE", help="Any option listed below; repeatable.")
]


def with_serving_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the flag of each serving option that declares one, in place of its `**flags`.

    The flags follow the parameter `settings`. The command receives them as texts by the option's name, or as booleans
    for switches; None if a flag is not given.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            parameters.append(parameter)
        if parameter.name == "settings":
            parameters += _flag_parameters()

    @wraps(command)
    def with_flags(*arguments: Any, **options: Any) -> None:
        command(*arguments, **options)

    vars(with_flags)["__signature__"] = signature.replace(parameters=parameters)
    return with_flags


def _flag_parameters() -> Iterator[inspect.Parameter]:
    for name, option in OPTIONS.items():
        if option.flag is not None:
            switch = isinstance(option.kind, Switch)
            info = _option(
                option.flag,
                panel=option.panel,
                metavar=None if switch else option.kind.metavar,
                help=f"{option.help}  [new model: {_default(option)}]",
            )
            annotation = Annotated[bool | None, info] if switch else Annotated[str | None, info]
            yield inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)


def _default(option: Option) -> str:
    if isinstance(option.default, bool) and option.flag is not None:
        return option.flag.split("/")[0 if option.default else 1]
    return option.none or format_value(option.default)


class PublishCommand(Command):
    """A command whose help lists the presets and the options for `--set`."""

    def more_help(self) -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
        """Return the presets, and the options without a flag with their defaults."""
        settings = [
            (f"{name}={format_value(DEFAULTS[name])}", option.help)
            for name, option in OPTIONS.items()
            if option.flag is None
        ]
        return [
            ("Presets", [(name, preset.purpose) for name, preset in PRESETS.items()]),
            ("Options for --set, with the defaults of a new model", settings),
        ]


def requested_options(
    bundle: Path,
    preset: str | None,
    cores: int | None,
    options_file: Path | None,
    settings: Sequence[str] | None,
    flags: Mapping[str, Any],
    backend: str | None = None,
) -> OptionFile:
    """Return the backend and the serving options by name.

    Flags take precedence over `--set`, both over the file, and the file over the preset. The options of a preset are
    printed to stderr, since its threads depend on a host, and so are those of a file.

    Args:
        bundle: The bundle to publish.
        preset: Name of a preset.
        cores: Cores of the host that serves the model (default: those of this host).
        options_file: A file of serving options.
        settings: Texts of the form `NAME=VALUE`.
        flags: Values of the flags by the option's name; None for those that are not given.
        backend: Triton's backend that `--backend` names; None if it is not given.

    Raises:
        UsageError: If the file, a preset, an option or a value is invalid.
    """
    explicit = {**parse_settings(settings or ()), **_parse_flags(flags)}
    check_values(explicit)
    if preset is None and cores is not None:
        raise UsageError("--cores requires --preset", hint="Add --preset, or set --threads")
    file = OptionFile() if options_file is None else read_option_file(options_file)
    if options_file is not None:
        _note_file(options_file, file, explicit, backend)
    chosen = cast("Backend | None", backend) or file.backend
    used = chosen or default_backend(_precision(bundle))
    if chosen is None and used != default_backend("fp32"):
        print_note(f"Backend {used}, the only one that computes in {_precision(bundle)}")
    options = overlay(file.options, explicit)
    if preset is not None:
        options = _with_preset(preset, cores, bundle, used, options)
    return OptionFile(chosen, options)


def _with_preset(
    preset: str, cores: int | None, bundle: Path, backend: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    host = HostProfile(cores or host_cores(), _precision(bundle), backend, options.get("max_batch_size"))
    combined = overlay(preset_options(preset, host), options)
    print_note(f"Preset {preset} for {count(host.cores, 'core')}: {_settings_text(combined)}")
    return combined


def _note_file(path: Path, file: OptionFile, explicit: Mapping[str, Any], backend: str | None) -> None:
    """Print every value that a file sets, and those of the command line that replace some of them."""
    values = {"backend": file.backend, **file.options} if file.backend else dict(file.options)
    given = {"backend": backend, **explicit} if backend else explicit
    kept = overlay(values, given)
    replaced = [
        f"{name}={format_value(given[name])}" if name in given else f"no {name}"
        for name, value in values.items()
        if name not in kept or kept[name] != value
    ]
    note = f"Options from {printable(path)}: {_settings_text(values) or 'none'}"
    print_note(note + (f"; the command line replaces them by {' '.join(replaced)}" if replaced else ""))


def _settings_text(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={format_value(value)}" for name, value in values.items())


def _parse_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None:
            # An error names the flag, as the user typed it.
            option = replace(OPTIONS[name], name=str(OPTIONS[name].flag))
            values[name] = option.parse(value) if isinstance(value, str) else value
            option.check(values[name])
    return values


def _precision(bundle: Path) -> str:
    """Return the precision of a bundle, the first word of its report's; publishing reports one that cannot be read."""
    from camserve.bundle import REPORT_NAME
    from camserve.strict_json import parse_json

    try:
        return str(parse_json((bundle / REPORT_NAME).read_bytes())["precision"]).partition(" ")[0]
    except (OSError, ValueError, KeyError, TypeError):
        return "fp32"
