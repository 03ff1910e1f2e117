"""A place to build what will appear in a repository all at once.

Triton takes every folder at the repository's root for a model, so nothing unfinished may stand there. A model is built
outside and renamed in, which a file system does in one step, provided that both places are on the same one.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

__all__ = ["build_staged"]

_Result = TypeVar("_Result")


def build_staged(root: Path, model: Path, build: Callable[[Path], _Result]) -> _Result:
    """Calls `build` with an empty folder from which a rename into `model` succeeds, and removes the folder after.

    The folder is beside the repository where that is the same file system, else inside the model's folder.
    """
    if _can_stage_beside(root):
        try:
            with _folder(root.parent, ".camserve-staging-") as stage:
                return build(stage)
        except OSError as error:
            # Two mounts of one file system look alike until a rename between them is tried.
            if error.errno != errno.EXDEV:
                raise
    with _model_folder(model), _folder(model, "staging-") as stage:
        return build(stage)


def _can_stage_beside(root: Path) -> bool:
    parent = root.parent
    return parent != root and os.access(parent, os.W_OK | os.X_OK) and parent.stat().st_dev == root.stat().st_dev


@contextmanager
def _folder(parent: Path, prefix: str) -> Iterator[Path]:
    stage = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _model_folder(model: Path) -> Iterator[None]:
    existed = model.exists()
    model.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if not existed:
            shutil.rmtree(model, ignore_errors=True)
        raise
