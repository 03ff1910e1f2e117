"""A place to build what will appear in a repository all at once, and to take out what shall go.

Triton takes every folder at the repository's root for a model, so nothing unfinished may stand there. A version is
built outside and renamed in, which a file system does in one step, provided that both places are on the same one.

Everything here is done by the holder of the repository's lock. There is then one such place at most, and one that is
found belongs to a writer that was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.repository.durable import make_folder, remove_tree

__all__ = ["STAGE_NAME", "remove_leftovers", "staged"]

STAGE_NAME = ".camserve-staging"
_PROBE = ".camserve.probe"


@contextmanager
def staged(root: Path, model: Path) -> Iterator[Path]:
    """Gives an empty folder from which a rename into the repository succeeds, and removes it after.

    It is beside the repository where that is the same file system, else inside a model's folder: Triton passes over
    names there that are no numbers. Best in a model that stands, since a folder without a configuration fails to load.

    Args:
        root: The repository's folder.
        model: The folder of the model that is written to.
    """
    stage = _beside(root)
    founded = False
    if not _can_stage(stage, root):
        host = model if model.is_dir() else next(_models(root), model)
        founded = not host.exists()
        if founded:
            make_folder(host)
        stage = host / STAGE_NAME
        make_folder(stage)
    try:
        yield stage
    finally:
        remove_tree(stage)
        if founded:
            with suppress(OSError):  # it is a model now
                model.rmdir()


def remove_leftovers(root: Path) -> None:
    """Removes what killed writers left behind; only what can be nothing else."""
    (root / _PROBE).unlink(missing_ok=True)
    remove_tree(_beside(root))
    for folder in root.iterdir():
        stage = folder / STAGE_NAME
        if not folder.is_symlink() and stage.is_dir() and not stage.is_symlink():
            remove_tree(stage)
            with suppress(OSError):  # it holds something else
                folder.rmdir()


def _beside(root: Path) -> Path:
    """Named after its repository, since another one may have the same parent."""
    return root.parent / f".{root.name}{STAGE_NAME}"


def _models(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.iterdir()) if (path / CONFIG_NAME).is_file())


def _can_stage(stage: Path, root: Path) -> bool:
    """Tries it with a file: two mounts of one file system look alike until a rename between them is tried."""
    if root.parent == root:
        return False
    try:
        make_folder(stage)
        (stage / _PROBE).touch()
        (stage / _PROBE).rename(root / _PROBE)
    except OSError:
        remove_tree(stage)
        return False
    finally:
        with suppress(OSError):
            (root / _PROBE).unlink(missing_ok=True)
    return True
