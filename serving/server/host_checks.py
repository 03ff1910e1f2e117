"""Checks of this host before the server starts, so that a failure names the host and not a model."""

from __future__ import annotations

import logging
import math
import os
import pwd
import shlex
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from camserve.errors import RepositoryError, ServerError
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.config.pinning import chosen_versions
from camserve.serving.repository.version_numbers import version_folders
from camserve.serving.server.host_hints import SET_TMPDIR
from camserve.serving.server.host_memory import (
    ENLARGE_SHARED_MEMORY,
    MEGABYTE,
    SHARED_MEMORY,
    free_shared_memory,
    size_text,
)

__all__ = ["check_readable", "check_temporary_folder", "shared_memory_need", "warn_about_shared_memory"]

_log = logging.getLogger("camserve.serving")

_BATCHES = 2
"""Batches of an instance that are in its shared memory at once: one is computed, one is answered."""


def check_temporary_folder() -> None:
    """Check that Triton can load its Python backend from a copy in the folder for temporary files.

    Raises:
        ServerError: If no folder can be used, or programs cannot be loaded from it.
    """
    requested = os.environ.get("TMPDIR")
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ServerError(f"cannot start the server: {error.strerror}", hint=SET_TMPDIR) from None
    if requested and not (Path(requested).is_dir() and os.access(requested, os.W_OK | os.X_OK)):
        _log.warning("TMPDIR=%s is not a folder in which this user can create files; using %s", requested, folder)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise ServerError(
            f"cannot start the server: Triton loads its Python backend from the folder for temporary files, {folder}, "
            f"which is mounted with noexec",
            hint=SET_TMPDIR,
        )


def check_readable(repository: Path, models: tuple[str, ...] | None) -> None:
    """Check that this user can read a repository.

    Args:
        repository: The repository.
        models: Names of the models to check (default: all).

    Raises:
        RepositoryError: If it cannot; the message names the first such file or folder.
    """
    for path in _paths(repository, models) if repository.is_dir() else ():
        mode = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
        if path.exists() and not os.access(path, mode):
            status = path.stat()
            raise RepositoryError(
                f"this user ({_user(os.geteuid())}) cannot read {path}: it belongs to {_user(status.st_uid)} "
                f"and has the mode {status.st_mode & 0o7777:04o}",
                hint=f"Run camserve as its owner, or as the owner: chmod -R a+rX {shlex.quote(str(repository))}",
            )


def warn_about_shared_memory(repository: Path, served: Mapping[str, Collection[int]]) -> None:
    """Warn if `/dev/shm` has less space than the models need for batches of the largest size.

    Args:
        repository: The repository.
        served: The versions that are loaded, by model.
    """
    configs = {name: read_config(repository / name / CONFIG_NAME) for name in served}
    need = sum(shared_memory_need(configs[name]) * len(served[name]) for name in served)
    free = free_shared_memory()
    if free < need:
        _log.warning(
            "%s has %s of free space, and the models use up to %s of it when batches are full: then requests fail. %s",
            SHARED_MEMORY,
            size_text(free),
            size_text(need),
            ENLARGE_SHARED_MEMORY,
        )


def shared_memory_need(config: Any) -> int:
    """Return the most shared memory in bytes that a version of a model uses.

    Measured with Triton 24.10: each instance of the Python backend has a segment, of 1 MB at first. It grows by whole
    megabytes, and never shrinks, to hold the tensors of two batches.

    Args:
        config: The `ModelConfig` message of the model.
    """
    instances = sum(int(group.count or 1) * max(1, len(group.gpus)) for group in config.instance_group) or 1
    image = sum(_bytes(tensor) for tensor in (*config.input, *config.output))
    batches = _BATCHES * max(1, int(config.max_batch_size)) * image
    return instances * MEGABYTE * (1 + math.ceil(batches / MEGABYTE))


def _bytes(tensor: Any) -> int:
    """Return the size of a tensor for one image, or 0 if it is not fixed."""
    dtype = triton_to_np_dtype(model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"))
    fixed = dtype is not None and all(extent > 0 for extent in tensor.dims)
    return int(np.dtype(dtype).itemsize * math.prod(tensor.dims)) if fixed else 0


def _paths(repository: Path, models: tuple[str, ...] | None) -> Iterator[Path]:
    """Yield every folder before its contents, so that an unreadable one is never opened."""
    yield repository
    for folder in sorted(repository.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir() or (models is not None and folder.name not in models):
            continue
        yield folder
        if (folder / CONFIG_NAME).is_file():
            yield folder / CONFIG_NAME
            versions = version_folders(folder)
            for number in chosen_versions(read_config(folder / CONFIG_NAME).version_policy, versions):
                yield versions[number]
                yield from sorted(versions[number].rglob("*"))


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
