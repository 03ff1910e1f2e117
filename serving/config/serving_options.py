"""The serving options of a published model, each declared once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from camserve.errors import UsageError
from camserve.serving.config.accelerator_options import ACCELERATORS, Accelerator, Auto, TensorRT
from camserve.serving.config.fixed_sizes import BatchSizes, FixedSizes, complete_sizes
from camserve.serving.config.option import check_fields, declare, documented
from camserve.serving.config.option_kinds import Choice, Integer, Integers, Switch, VersionChoice
from camserve.serving.config.resources import Resource, Resources

__all__ = ["QueueAction", "Resource", "ServingOptions", "Versions"]

QueueAction = Literal["reject", "continue"]
Versions = Literal["latest", "all"] | tuple[int, ...]

_BATCHING, _INSTANCES, _ACCELERATOR = "Batching and queue", "Instances and threads", "Accelerator"
_LIFECYCLE, _IMAGE_FILES = "Warm-up and versions", "Image files"


@documented
@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """How Triton serves a model.

    Raises:
        UsageError: If an option is invalid, or two contradict each other.
    """

    max_batch_size: int = declare(
        8,
        Integer(1, 4096),
        "Largest batch that Triton accepts and builds.",
        flag="--max-batch",
        panel=_BATCHING,
    )
    max_queue_delay_us: int = declare(
        100,
        Integer(0, 10_000_000, metavar="MICROSECONDS"),
        "How long a request may wait for others to join its batch, in microseconds; 0 batches only requests that wait "
        "because all instances are busy.",
        flag="--delay",
        panel=_BATCHING,
    )
    preferred_batch_sizes: tuple[int, ...] = declare(
        (),
        Integers(1, 4096, example="4,8"),
        "Batch sizes that are sent without further delay, such as 4,8; only for models that are fast at these sizes.",
    )
    batch_sizes: BatchSizes = declare(
        "auto",
        FixedSizes(),
        "Batch sizes that camserve's backend prepares, such as 1,8,32, the largest included; a batch is padded to the "
        "next one, in OpenVINO if that is at most a third larger. none: any size. auto: 1,8,32 and the largest on "
        "CUDA; 1,2,4 and so on in OpenVINO, above 64 MB 1 and the largest; any size elsewhere. NVIDIA's backend "
        "ignores it.",
        parameters=("batch_sizes",),
    )
    max_queue_size: int = declare(
        0,
        Integer(0, 1_000_000, example="64"),
        "Requests that may wait; further ones fail with UNAVAILABLE. 0: no limit. A limit causes pauses of up to half "
        "a second, see docs/serving.md.",
        flag="--queue",
        panel=_BATCHING,
    )
    queue_timeout_us: int = declare(
        0,
        Integer(0, 3_600_000_000, metavar="MICROSECONDS"),
        "How long a request may wait in the queue, in microseconds; 0: no limit.",
    )
    queue_timeout_action: QueueAction = declare(
        "reject",
        Choice(get_args(QueueAction)),
        "What happens after that: reject fails the request, continue moves it behind all others.",
    )
    queue_timeout_override: bool = declare(False, Switch(), "Accept a shorter timeout from a request.")
    priority_levels: int = declare(
        0, Integer(0, 100), "Number of priority levels for requests, 1 is served first; 0: no priorities."
    )
    default_priority: int = declare(0, Integer(0, 100), "Priority of requests without one.")
    instances: int = declare(
        1, Integer(1, 256), "Instances of the model on each device.", flag="--instances", panel=_INSTANCES
    )
    threads: int | None = declare(
        None,
        Integer(1, 1024),
        "Threads of one instance within an operator; 0: all cores.",
        flag="--threads",
        panel=_INSTANCES,
        none="0",
    )
    inter_threads: int | None = declare(
        None, Integer(1, 1024), "Threads that run branches of the graph in parallel (none: no parallel branches)."
    )
    accelerator: Accelerator = declare(
        Auto(),
        Choice(tuple(ACCELERATORS)),
        "auto (a GPU if the host has one), none (the CPU, the only one of --backend openvino), cuda, tensorrt, or "
        "openvino (of ONNX Runtime in NVIDIA's container).",
        flag="--accelerator",
        panel=_ACCELERATOR,
    )
    warmup: bool = declare(
        True,
        Switch(),
        "Run a batch of 1, the largest and the optimized batch before the model is ready.",
        flag="--warm-up/--no-warm-up",
        panel=_LIFECYCLE,
    )
    response_cache: bool = declare(
        False, Switch(), "Answer repeated images from memory; requires camserve serve --response-cache."
    )
    versions: Versions = declare(
        "latest", VersionChoice(), "Versions to serve: latest (see --latest-versions), all, or numbers such as 3,5."
    )
    latest_versions: int = declare(
        1,
        Integer(1, 256),
        "How many of the newest versions are served at once.",
        flag="--latest-versions",
        panel=_LIFECYCLE,
    )
    image_files: bool = declare(
        False,
        Switch(),
        "Publish NAME_file, too: a model that takes encoded image files (JPEG, PNG, …), from any program.",
        flag="--image-files/--no-image-files",
        panel=_IMAGE_FILES,
    )
    image_file_instances: int = declare(
        2, Integer(1, 256), "Instances of NAME_file, each a process that decodes and preprocesses on one core."
    )
    rate_limiter_resources: tuple[Resource, ...] = declare(
        (),
        Resources(),
        "What an instance holds while it runs, such as disk:1,link:2:shared; requires camserve serve --rate-limit.",
    )
    rate_limiter_priority: int = declare(
        1, Integer(1, 1_000_000), "Weight among models that wait for resources; 2 runs half as often as 1."
    )

    def __post_init__(self) -> None:
        if not isinstance(self.accelerator, Accelerator):
            raise UsageError(
                f"accelerator must be an Accelerator, got {self.accelerator!r}",
                hint=f"Use {', '.join(f'{each.__name__}()' for each in ACCELERATORS.values())} of camserve.serving",
            )
        check_fields(self, skip=("accelerator",))
        _check_batch_sizes(self)
        _check_fixed_sizes(self)
        _check_priorities(self)
        _check_versions(self)
        _check_image_files(self)
        accelerator = self.accelerator
        if isinstance(accelerator, TensorRT) and accelerator.opt_batch_size == self.max_batch_size:
            # A configuration stores both as one number, and options read back from it must be equal.
            object.__setattr__(self, "accelerator", replace(accelerator, opt_batch_size=None))
        object.__setattr__(self, "batch_sizes", complete_sizes(self.batch_sizes, self.max_batch_size))


def _check_batch_sizes(options: ServingOptions) -> None:
    largest, sizes = options.max_batch_size, {"preferred_batch_sizes": options.preferred_batch_sizes}
    if options.batch_sizes != "auto":
        sizes["batch_sizes"] = options.batch_sizes
    if isinstance(options.accelerator, TensorRT):
        sizes["tensorrt_opt_batch_size"] = (options.accelerator.opt_batch_size or 1,)
    for name, values in sizes.items():
        if values and max(values) > largest:
            fitting = ",".join(map(str, sorted({*(size for size in values if size < largest), largest})))
            raise UsageError(
                f"{name} must be at most max_batch_size ({largest}), got {max(values)}",
                hint=f"Raise max_batch_size to {max(values)}, or lower {name}: --max-batch {max(values)} or --set "
                f"{name}={largest if name == 'tensorrt_opt_batch_size' else fitting}",
            )


def _check_fixed_sizes(options: ServingOptions) -> None:
    if isinstance(options.accelerator, TensorRT) and options.batch_sizes != "auto":
        raise UsageError(
            "batch_sizes is not an option of accelerator tensorrt, whose engine serves every batch size",
            hint="Leave it out, or choose accelerator auto, none or cuda",
        )
    if getattr(options.accelerator, "cuda_graphs", None) and not options.batch_sizes:
        raise UsageError(
            "cuda_graphs requires fixed batch sizes, got batch_sizes none",
            hint="Set batch_sizes, such as --set batch_sizes=1,8,32, or turn cuda_graphs off",
        )


def _check_priorities(options: ServingOptions) -> None:
    levels, default = options.priority_levels, options.default_priority
    if levels and not 1 <= default <= levels:
        raise UsageError(
            f"default_priority must be from 1 to priority_levels ({levels}), got {default}",
            hint=f"Set default_priority to a number from 1, served first, to {levels}",
        )
    if default and not levels:
        raise UsageError(f"default_priority is {default} without priority_levels", hint="Set priority_levels as well")


def _check_image_files(options: ServingOptions) -> None:
    if options.image_file_instances != ServingOptions.image_file_instances and not options.image_files:
        raise UsageError("image_file_instances requires image_files", hint="Add --image-files, or leave it out")


def _check_versions(options: ServingOptions) -> None:
    versions, accelerator = options.versions, options.accelerator
    if versions != "latest" and options.latest_versions != 1:
        raise UsageError(
            f"latest_versions requires versions latest, got {versions!r}", hint="Leave out one of the two options"
        )
    several = options.latest_versions > 1 or versions == "all" or (isinstance(versions, tuple) and len(versions) > 1)
    if several and isinstance(accelerator, TensorRT) and accelerator.engine_cache:
        # The name of an engine's file is made of the names in the graph, which are equal in all versions.
        raise UsageError(
            "tensorrt_engine_cache does not work with several versions: one would run with the weights of another",
            hint="Serve one version at a time, or turn tensorrt_engine_cache off",
        )
