"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from camserve.errors import ExportError

__all__ = ["staged"]


@contextlib.contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Gives a folder beside the destination, which becomes the destination if the block succeeds.

    What stood at the destination is replaced at that moment and not before; if the block fails, the folder goes and
    the destination stays as it was.

    Raises:
        ExportError: If there is no place to write, or no room.
    """
    missing = [parent for parent in destination.parents if not parent.exists()]
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise _cannot_write(destination, error) from error
    try:
        folder.chmod(0o755)
        yield folder
        _swap(folder, destination)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not destination.exists():
            _remove_empty(missing)


def _remove_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # somebody else began to use one
        for folder in folders:
            folder.rmdir()


def _swap(folder: Path, destination: Path) -> None:
    if not destination.exists():
        folder.rename(destination)
        return
    retired = folder.with_name(f"{folder.name}.old")
    destination.rename(retired)
    try:
        folder.rename(destination)
    except OSError:
        retired.rename(destination)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _cannot_write(destination: Path, error: OSError) -> ExportError:
    return ExportError(
        f"the bundle {destination} cannot be written: {error.strerror or error}",
        hint="Check the folder's permissions and the room left on its disk; nothing was changed",
    )
