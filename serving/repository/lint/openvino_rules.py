"""Rules about models that OpenVINO runs.

Sources: `src/openvino.cc` and the README of triton-inference-server/openvino_backend, Triton's own backend.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.instances import read_parameter
from camserve.serving.config.openvino import BATCH_PADDING, HINT_BF16, PRECISION, pinned_precision
from camserve.serving.config.pinning import chosen_versions
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target

__all__ = ["openvino_instance_kind", "other_precision", "unpadded_batches", "unpinned_precision"]

_PUBLISH = "Publish it again: camserve publish BUNDLE_DIR --repository DIR --backend openvino"
_PRECISIONS = ("f32", "bf16")
_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU


def unpinned_precision(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """On processors with AMX or AVX512-BF16, OpenVINO computes float32 in bf16 unless a precision is pinned."""
    if not model.runs_openvino:
        return
    precision, in_bf16 = read_parameter(model.config, PRECISION), read_parameter(model.config, HINT_BF16)
    if not precision and in_bf16.upper() != "YES":
        yield error(
            "it pins no precision: OpenVINO computes it in bf16 on processors with AMX or AVX512-BF16, and camserve's "
            "backend will not load it",
            f"{_PUBLISH}, or set the parameter {PRECISION} to f32 or bf16",
        )
    elif not precision:
        yield error(
            f"it has no {PRECISION}: camserve's backend will not load it",
            f"Set the parameter {PRECISION} to bf16, as {HINT_BF16} does for Triton's own backend",
        )
    elif precision not in _PRECISIONS:
        yield error(f"{PRECISION} is {precision!r}: camserve's backend will not load it", f"{_PUBLISH}")
    elif in_bf16 and precision != "bf16":
        yield error(
            f"{PRECISION} is {precision} and {HINT_BF16} is {in_bf16}: Triton's own backend computes it in bf16, and "
            "camserve's will not load it",
            f"Remove the parameter {HINT_BF16}",
        )


def other_precision(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A version passed the parity gate in the precision of its export, not in the one that is pinned."""
    pinned = read_parameter(model.config, PRECISION)
    if not model.runs_openvino or pinned not in _PRECISIONS:
        return
    for number in chosen_versions(model.config.version_policy, model.versions):
        exported = model.precisions.get(number)
        if exported is not None and pinned_precision(exported) != pinned:
            yield error(
                f"version {number} was verified in {exported}, and {PRECISION} is {pinned}: its answers differ from "
                "those of its export",
                _PUBLISH,
            )


def openvino_instance_kind(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton's own backend refuses instances of any other kind, and camserve's those on a GPU."""
    if model.runs_openvino and any(group.kind != _CPU for group in model.config.instance_group):
        yield error(
            "OpenVINO runs on the CPU only, and an instance is not of KIND_CPU: the model will not load",
            f"{_PUBLISH} --accelerator none",
        )


def unpadded_batches(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton's own backend runs batches of the largest size only, and pads smaller ones if it may."""
    padding = read_parameter(model.config, BATCH_PADDING)
    if model.runs_openvino and model.config.max_batch_size > 1 and padding.upper() != "YES":
        yield warning(
            f"{BATCH_PADDING} is not YES: Triton's own OpenVINO backend refuses batches below "
            f"{model.config.max_batch_size}",
            f"{_PUBLISH}, or set the parameter {BATCH_PADDING} to YES",
        )
