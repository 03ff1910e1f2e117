"""Checks of the source options that need no framework: file extensions, checksums and module names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camserve.errors import SourceError, UsageError
from camserve.export.source.locate import locate_files

__all__ = [
    "HDF5_EXTENSIONS",
    "check_checksum_option",
    "check_model_extension",
    "check_module_name",
    "check_source",
    "check_weights_extension",
]

HDF5_EXTENSIONS = (".h5", ".hdf5")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def check_source(
    source: Any, weights: str | None, *, sha256: str | None, custom_objects: Sequence[str]
) -> tuple[Path | None, Path | None]:
    """Check the source and its options, and return the paths of the source and of its weights, None if not a file.

    Args:
        source: As `export_model` takes it.
        weights: `imagenet`, `none`, a weights file, or None for the default of the source.
        sha256: Expected SHA-256 in hexadecimal, or None.
        custom_objects: Dotted names of modules.

    Raises:
        SourceError: If a file does not exist or has an unsupported extension.
        UsageError: If an option is invalid or does not apply to the source.
    """
    path, weights_path = locate_files(source, weights)
    if path is not None and not path.is_dir():
        check_model_extension(path)
    if weights_path is not None:
        check_weights_extension(weights_path)
    check_checksum_option([file for file in (path, weights_path) if file is not None], sha256)
    for name in custom_objects:
        check_module_name(name)
    return path, weights_path


def check_model_extension(path: Path) -> None:
    """Refuse a model file that is neither a `.keras` nor an HDF5 file by its extension.

    Raises:
        SourceError: If it has another extension.
    """
    _check_extension(path, "model", "Use a .keras file, a .h5 file or a SavedModel folder")


def check_weights_extension(path: Path) -> None:
    """Refuse a weights file that is neither a `.keras` nor an HDF5 file by its extension.

    Raises:
        SourceError: If it has another extension.
    """
    _check_extension(path, "weights", "Use a .weights.h5, .h5 or .keras file: --weights FILE")


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


def _check_extension(path: Path, kind: str, hint: str) -> None:
    if path.suffix not in (".keras", *HDF5_EXTENSIONS):
        raise SourceError(f"{kind} file {path} has the unsupported extension {path.suffix!r}", hint=hint)
