"""The options of `camserve publish` that say how a model is served: how they are typed, and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from camserve.cli.command import Command
from camserve.cli.console import note
from camserve.errors import UsageError

__all__ = [
    "Accelerator",
    "Cores",
    "Delay",
    "Gpus",
    "Instances",
    "LatestVersions",
    "MaxBatch",
    "Preset",
    "PublishCommand",
    "Queue",
    "Settings",
    "TensorRTPrecision",
    "Threads",
    "WarmUp",
    "preset_and_given",
]

_BATCHES, _COPIES, _DEVICES, _READINESS = "Batches and their queue", "Copies and threads", "Devices", "Readiness"
_SERVING = "Serving"


def _option(*names: str, panel: str, help: str, default: str | None = None, **settings: Any) -> Any:  # noqa: A002
    """An option; `default` is what holds for a new model, since one that stands keeps what it has."""
    told = help if default is None else f"{help}  [new model: {default}]"
    return typer.Option(*names, rich_help_panel=panel, help=told, show_default=False, **settings)


Preset = Annotated[
    str | None,
    _option("--preset", panel=_SERVING, metavar="NAME", help="Options by what they are for; see Presets below."),
]
Cores = Annotated[
    int | None,
    _option(
        "--cores",
        panel=_SERVING,
        metavar="N",
        min=1,
        help="Cores of the host that will serve, by which a preset goes; this one's unless given.",
    ),
]
Settings = Annotated[
    list[str] | None,
    _option("--set", panel=_SERVING, metavar="NAME=VALUE", help="Any other option, as listed below; can be repeated."),
]
MaxBatch = Annotated[
    int | None,
    _option(
        "--max-batch",
        panel=_BATCHES,
        metavar="N",
        help="Largest batch that the server accepts and builds.",
        default="8",
    ),
]
Delay = Annotated[
    int | None,
    _option(
        "--delay",
        panel=_BATCHES,
        metavar="MICROSECONDS",
        help="How long a request may wait for others to join its batch.",
        default="100",
    ),
]
Queue = Annotated[
    int | None,
    _option(
        "--queue",
        panel=_BATCHES,
        metavar="N",
        help="Requests that may wait; more are refused at once. 0: no bound. A bound costs pauses of up to half a "
        "second, see docs/serving.md.",
        default="0",
    ),
]
Instances = Annotated[
    int | None,
    _option(
        "--instances",
        panel=_COPIES,
        metavar="N",
        help="Copies of the model that run side by side, on each device.",
        default="1",
    ),
]
Threads = Annotated[
    int | None,
    _option("--threads", panel=_COPIES, metavar="N", min=0, help="Threads of one copy; 0 for all cores.", default="0"),
]
Accelerator = Annotated[
    str | None,
    _option(
        "--accelerator",
        panel=_DEVICES,
        metavar="KIND",
        help="auto (a GPU where there is one), none (the CPU), cuda, tensorrt or openvino (of CPUs).",
        default="auto",
    ),
]
Gpus = Annotated[
    str | None,
    _option(
        "--gpus", panel=_DEVICES, metavar="N,N", help="GPUs that hold copies, for cuda and tensorrt.", default="all"
    ),
]
TensorRTPrecision = Annotated[
    str | None,
    _option(
        "--tensorrt-precision",
        panel=_DEVICES,
        metavar="KIND",
        help="Arithmetic of TensorRT: fp32, fp16 or int8.",
        default="fp32",
    ),
]
WarmUp = Annotated[
    bool | None,
    _option(
        "--warm-up/--no-warm-up",
        panel=_READINESS,
        help="Run batches before the model counts as ready.",
        default="--warm-up",
    ),
]
LatestVersions = Annotated[
    int | None,
    _option(
        "--latest-versions",
        panel=_READINESS,
        metavar="N",
        help="How many of the newest versions are served at once.",
        default="1",
    ),
]

_MEANINGS: Mapping[str, str] = {
    "preferred_batch_sizes": "4,8: batches sent off without waiting longer; for engines built for these alone",
    "queue_timeout_us": "how long a request may wait; 0 for ever",
    "queue_timeout_action": "reject it then, or continue it behind all others",
    "queue_timeout_override": "on lets a request bring a shorter time-out",
    "priority_levels": "how many priorities requests may name; 1 is served first",
    "default_priority": "priority of requests that name none",
    "inter_threads": "threads for branches of the graph side by side",
    "cudnn_conv_algo_search": "exhaustive, heuristic or default: how CUDA chooses convolutions",
    "gpu_mem_limit": "8G: GPU memory of one copy's arena",
    "arena_extend_strategy": "next-power-of-two or same-as-requested: how that arena grows",
    "do_copy_in_default_stream": "off lets copies overlap CUDA's computation",
    "tensorrt_opt_batch_size": "batch that the engine is tuned for; the largest unless given",
    "tensorrt_workspace": "4G: scratch memory",
    "tensorrt_engine_cache": "off builds engines anew at each start, which takes minutes",
    "tensorrt_timing_cache": "off measures kernels anew for each engine",
    "tensorrt_cache_path": "folder of both on the server, its own alone to write",
    "response_cache": "on answers repeated images from memory (serve: --response-cache)",
    "versions": "latest, all, or numbers such as 3,5",
    "rate_limiter_resources": "disk:1,link:2:shared: what a copy holds while it runs (serve: --rate-limit)",
    "rate_limiter_priority": "2 runs half as often as 1",
}
"""Options without a flag of their own, for --set."""


class PublishCommand(Command):
    """Publish, whose help names the presets and the options for --set."""

    def more_help(self) -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
        """Presets and settings."""
        from camserve.serving.config.changes import DEFAULTS
        from camserve.serving.config.parsing import format_option
        from camserve.serving.config.presets import PRESETS, preset_purpose

        settings = [(f"{name}={format_option(DEFAULTS[name])}", meaning) for name, meaning in _MEANINGS.items()]
        return [
            ("Presets", [(name, preset_purpose(name)) for name in PRESETS]),
            ("For --set, as a new model has them", settings),
        ]


def preset_and_given(
    bundle: Path,
    preset: str | None,
    cores: int | None,
    settings: Sequence[str] | None,
    flags: Mapping[str, Any],
    backend: str = "onnxruntime",
) -> dict[str, Any]:
    """Serving options by name: those of the preset, and before them those of `--set`, and before these the flags.

    What a preset decides is said on stderr, since its threads depend on a host.

    Raises:
        UsageError: If there is no such preset, option or value.
    """
    from camserve.serving.config.changes import check_changes, lay_over
    from camserve.serving.config.parsing import format_option, parse_settings
    from camserve.serving.config.presets import HostProfile, host_cores, preset_options

    given = {**parse_settings(settings or ()), **_typed(flags)}
    check_changes(given)
    if preset is None:
        if cores is not None:
            raise UsageError("--cores decides nothing without --preset", hint="Give --preset, or --threads")
        return given
    situation = HostProfile(cores or host_cores(), _precision(bundle), backend)
    chosen = lay_over(preset_options(preset, situation), given)
    words = " ".join(f"{name}={format_option(value)}" for name, value in chosen.items())
    note(f"Preset {preset} on {situation.cores} cores: {words}")
    return chosen


def _typed(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were typed, in the values that options have: no threads are all of them."""
    from camserve.serving.config.parsing import parse_option

    given = {name: value for name, value in flags.items() if value is not None}
    given.update({name: parse_option(name, value) for name, value in given.items() if isinstance(value, str)})
    return {**given, "threads": given["threads"] or None} if "threads" in given else given


def _precision(bundle: Path) -> str:
    """The bundle's precision as its report says; publishing itself says what is wrong with the bundle, if anything."""
    import json

    from camserve.bundle import REPORT_NAME

    try:
        return str(json.loads((bundle / REPORT_NAME).read_text(encoding="utf-8"))["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return "fp32"
