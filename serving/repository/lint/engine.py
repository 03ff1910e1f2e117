"""Read a repository and apply the rules to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from camserve.bundle import ONNX_NAME
from camserve.cores import host_cores
from camserve.errors import RepositoryError
from camserve.serving.config.image_files import file_model_of, read_image_files
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.export_facts import read_export_facts
from camserve.serving.repository.lint import (
    accelerator_rules,
    batching_rules,
    cuda_rules,
    file_rules,
    openvino_rules,
    target_rules,
)
from camserve.serving.repository.lint.findings import Finding, ModelFolder, Rule
from camserve.serving.repository.lint.onnx_metadata import OnnxMetadata, read_onnx_metadata
from camserve.serving.repository.lint.targets import DEFAULT_RELEASE, Target, find_target
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.version_numbers import version_folders
from camserve.text import reason

__all__ = ["RULES", "lint_model", "lint_repository", "read_model"]

RULES: tuple[Rule, ...] = (
    file_rules.name_mismatch,
    file_rules.missing_model_file,
    file_rules.missing_served_version,
    file_rules.bad_version_folder,
    file_rules.missing_labels,
    file_rules.missing_contract,
    file_rules.invalid_contract,
    file_rules.stray_entry,
    target_rules.onnx_too_new,
    target_rules.tensorflow_gone,
    accelerator_rules.unknown_accelerator,
    accelerator_rules.unknown_tensorrt_parameter,
    accelerator_rules.tensorrt_profile,
    accelerator_rules.tensorrt_precision,
    accelerator_rules.engine_cache,
    cuda_rules.cuda_option_misplaced,
    cuda_rules.unsupported_cuda_option,
    cuda_rules.unsupported_nhwc,
    cuda_rules.free_batch_sizes,
    cuda_rules.int8_without_tensorrt,
    cuda_rules.fuse_conv_bias_alone,
    cuda_rules.cuda_graph_option,
    cuda_rules.tf32_arithmetic,
    openvino_rules.unpinned_precision,
    openvino_rules.other_precision,
    openvino_rules.openvino_instance_kind,
    openvino_rules.unpadded_batches,
    batching_rules.missing_max_batch_size,
    batching_rules.missing_instance_group,
    batching_rules.threads_above_cores,
    batching_rules.pausing_queue,
    batching_rules.unlimited_responses,
    batching_rules.warm_up_gap,
)
"""Each reports one problem; the name of the function is the name of the rule."""


def lint_repository(
    repository: str | Path, *, triton: str = DEFAULT_RELEASE, cores: int | None = None
) -> tuple[Finding, ...]:
    """Find problems of the models in a repository.

    Args:
        repository: The folder.
        triton: The release of Triton that will serve it (default: that of `docker/`).
        cores: Cores of the host that will serve it (default: this host's).

    Returns:
        The findings by model, errors first.

    Raises:
        RepositoryError: If the repository does not exist or cannot be read.
        UsageError: If the release is unknown.
    """
    target = find_target(triton, cores=cores or host_cores())
    root = open_repository(repository)
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        found = [finding for folder in folders for finding in _lint_folder(folder, target)]
    except OSError as error:
        raise RepositoryError(f"cannot read the repository {root}: {reason(error, root)}") from None
    return tuple(sorted(found, key=lambda finding: (finding.model, finding.severity)))


def lint_model(model: ModelFolder, target: Target) -> Iterator[Finding]:
    """Apply the rules to one model."""
    for rule in RULES:
        for severity, message, hint in rule(model, target):
            yield Finding(_name(rule), severity, model.name, message, hint)


def read_model(folder: Path) -> ModelFolder:
    """Read a model's folder, without the weights.

    Raises:
        RepositoryError: If its configuration cannot be read.
    """
    entries = tuple(folder.iterdir())
    versions = version_folders(folder)
    config = read_config(folder / CONFIG_NAME)
    metadata = {
        number: _metadata(version / (config.default_model_filename or ONNX_NAME))
        for number, version in versions.items()
    }
    precisions = {number: read_export_facts(version).precision for number, version in versions.items()}
    return ModelFolder(
        name=folder.name,
        config=config,
        files=frozenset(entry.name for entry in entries if not entry.is_dir()),
        folders=frozenset(entry.name for entry in entries if entry.is_dir()),
        versions={number: frozenset(path.name for path in version.iterdir()) for number, version in versions.items()},
        onnx={number: each for number, each in metadata.items() if each is not None},
        precisions={number: each.partition(" ")[0] for number, each in precisions.items() if each is not None},
    )


def _lint_folder(folder: Path, target: Target) -> Iterator[Finding]:
    if not (folder / CONFIG_NAME).is_file():
        yield Finding(
            "no-model",
            "error",
            folder.name,
            f"{CONFIG_NAME} is missing, and Triton treats every folder of a repository as a model",
            "Move it out of the repository",
        )
        return
    try:
        model = read_model(folder)
    except RepositoryError as error:
        yield Finding("unreadable-config", "error", folder.name, error.message, error.hint or "")
        return
    owner = file_model_of(model.config)
    if owner is None:
        yield from lint_model(model, target)
    elif not _has_image_files(folder.parent / owner / CONFIG_NAME):
        yield Finding(
            "image-files-without-model",
            "error",
            folder.name,
            f"it takes image files for {owner}, which is not published with image files",
            f"Publish it: camserve publish BUNDLE_DIR --repository DIR --name {owner} --image-files. The next "
            "publication of any model removes this one otherwise",
        )


def _has_image_files(path: Path) -> bool:
    try:
        return bool(read_image_files(read_config(path)))
    except RepositoryError:  # which the rules for that model report
        return path.is_file()


def _metadata(path: Path) -> OnnxMetadata | None:
    """Read the metadata of an ONNX file; None if it is not one, which `camserve repository verify` reports."""
    try:
        return read_onnx_metadata(path)
    except (OSError, ValueError, IndexError):
        return None


def _name(rule: Rule) -> str:
    return str(getattr(rule, "__name__", "rule")).replace("_", "-")
