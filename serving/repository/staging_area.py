"""The staging area: where versions are built before they appear in a repository, and moved to before deletion.

Triton treats every folder at the root of the repository as a model, so nothing unfinished may be there. A version is
built outside and renamed into the repository, which is atomic as long as both are on the same file system.

All functions require the repository's lock. There is then at most one staging area at a time, and one that is found
belongs to a publisher that was killed.
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
    """Create an empty staging area that supports renames into the repository, and remove it at the end.

    It is beside the repository if that is the same file system, otherwise in the folder of a model, where Triton
    ignores names that are not numbers. An existing model is preferred: a folder without a configuration fails to load.

    Args:
        root: The repository's folder.
        model: The folder of the model that is written to.
    """
    stage = _beside(root)
    created_host = False
    if not _supports_rename(stage, root):
        host = model if model.is_dir() else next(_models(root), model)
        created_host = not host.exists()
        if created_host:
            make_folder(host)
        stage = host / STAGE_NAME
        make_folder(stage)
    try:
        yield stage
    finally:
        remove_tree(stage)
        if created_host:
            with suppress(OSError):  # it is a model now
                model.rmdir()


def remove_leftovers(root: Path) -> None:
    """Remove the staging areas that killed publishers left behind, and nothing else."""
    (root / _PROBE).unlink(missing_ok=True)
    remove_tree(_beside(root))
    for folder in root.iterdir():
        stage = folder / STAGE_NAME
        if not folder.is_symlink() and stage.is_dir() and not stage.is_symlink():
            remove_tree(stage)
            with suppress(OSError):  # it contains something else
                folder.rmdir()


def _beside(root: Path) -> Path:
    """Return a path named after the repository, since another repository may have the same parent."""
    return root.parent / f".{root.name}{STAGE_NAME}"


def _models(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.iterdir()) if (path / CONFIG_NAME).is_file())


def _supports_rename(stage: Path, root: Path) -> bool:
    """Try a rename with a file: two mounts of one file system cannot be told apart in another way."""
    if root.parent == root:
        return False
    try:
        make_folder(stage, mode=0o700)  # the folder around a private repository may be public
        (stage / _PROBE).touch()
        (stage / _PROBE).rename(root / _PROBE)
    except OSError:
        remove_tree(stage)
        return False
    finally:
        with suppress(OSError):
            (root / _PROBE).unlink(missing_ok=True)
    return True
