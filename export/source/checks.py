"""Checks of the source options that need no framework: file extensions, checksums and module names."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camserve.errors import UsageError
from camserve.export.source.contents import check_folder, model_kind, weights_kind
from camserve.export.source.locate import IN_MEMORY, class_count, default_weights, locate_files, source_path

__all__ = [
    "check_checksum_option",
    "check_classes_option",
    "check_module_name",
    "check_source",
    "parse_size",
]

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def check_source(
    source: Any, weights: str | None, *, sha256: str | None, custom_objects: Sequence[str], classes: int | None = None
) -> tuple[Path | None, Path | None]:
    """Check the source and its options, and return the paths of the source and of its weights, None if not a file.

    Args:
        source: As `export_model` takes it.
        weights: `imagenet`, `none`, a weights file, or None for the default of the source.
        sha256: Expected SHA-256 in hexadecimal, or None.
        custom_objects: Dotted names of modules.
        classes: Number of classes to build the source with, or None for its own.

    Raises:
        SourceError: If a file does not exist, or contains something else.
        UsageError: If an option is invalid or does not apply to the source.
    """
    path, weights_path = locate_files(source, weights)
    if path is not None:
        _check_contents(path)
    if weights_path is not None:
        weights_kind(weights_path)
    check_checksum_option([file for file in (path, weights_path) if file is not None], sha256)
    for name in custom_objects:
        check_module_name(name)
    if classes is not None:
        check_classes_option(source, weights, classes)
    return path, weights_path


def check_checksum_option(files: Sequence[Path], expected: str | None) -> None:
    """Check that an expected SHA-256 is valid and applies to exactly one file.

    Args:
        files: The files or folders of the source.
        expected: The expected SHA-256 in hexadecimal, or None.

    Raises:
        UsageError: If it is not a SHA-256, or the source is not exactly one file.
    """
    if expected is None:
        return
    if not _SHA256.fullmatch(expected):
        raise UsageError(f"--sha256 must be 64 hexadecimal digits, got {expected!r}", hint="Compute it: sha256sum FILE")
    if len(files) != 1 or not files[0].is_file():
        source = " and ".join(map(str, files)) or "a source without a file"
        raise UsageError(
            f"--sha256 applies to exactly one file, got {source}",
            hint="Remove --sha256, or export a single model or weights file",
        )


def check_classes_option(source: Any, weights: str | None, classes: int) -> None:
    """Check that a number of classes is valid and applies to the source.

    Args:
        source: As `export_model` takes it.
        weights: `imagenet`, `none`, a weights file, or None for the default of the source.
        classes: The number of classes.

    Raises:
        UsageError: If it is not a positive integer, or the source or its weights have a number of classes of their own.
    """
    own = class_count(source)
    if not isinstance(classes, int) or classes < 1:
        raise UsageError(f"classes must be at least 1, got {classes!r}", hint="Pass the number of classes: --classes N")
    if own is None:
        raise UsageError(
            f"--classes applies to recipes and keras:NAME only; {source_path(source) or IN_MEMORY} has its own classes",
            hint="Remove --classes",
        )
    if classes != own and default_weights(source, weights) == "imagenet":
        raise UsageError(
            f"the ImageNet weights of {str(source)!r} have {own:,} classes, but --classes is {classes:,}",
            hint="Pass the fine-tuned weights, or random ones: --weights FILE or --weights none",
        )


def parse_size(requested: str | Sequence[int] | None) -> tuple[int, int] | None:
    """Return a height and width, from two integers or text such as `224x224`; None if none are given.

    Raises:
        UsageError: If they are not two positive integers.
    """
    if requested is None:
        return None
    parts = re.split("[x×]", requested.strip().lower()) if isinstance(requested, str) else list(requested)
    try:
        height, width = (operator.index(int(part) if isinstance(part, str) else part) for part in parts)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise UsageError(
            f"the size must be a height and a width in pixels, got {requested!r}",
            hint="Write it as HEIGHTxWIDTH: --size 224x224",
        )
    return height, width


def check_module_name(name: str) -> None:
    """Check that a name can be that of a Python module.

    Raises:
        UsageError: If it cannot, or is the name of a Python file.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"--custom-objects must be the name of a Python module, got {name!r}",
            hint="Write it as in an import statement: --custom-objects package.module",
        )
    if name.endswith(".py"):
        raise UsageError(
            f"--custom-objects must be the name of a Python module, got the file name {name!r}",
            hint=f"Remove .py: --custom-objects {name.removesuffix('.py')}",
        )


def _check_contents(path: Path) -> None:
    if path.is_dir():
        check_folder(path)
    elif model_kind(path) == "hdf5":
        try:
            from camserve.export.source.hdf5_weights import check_is_model  # noqa: PLC0415  (needs h5py)
        except ImportError:
            return  # reported with the other packages that are missing
        check_is_model(path)
