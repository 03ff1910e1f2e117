"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from camserve.export.frameworks import tf

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
        raise _cannot_write(destination, error.strerror or str(error)) from error
    try:
        folder.chmod(0o755)
        yield folder
        _swap(folder, destination)
    except Exception as error:
        fault = _disk_fault(error, folder)
        if fault is None:
            raise
        raise _cannot_write(destination, fault) from error
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


def _disk_fault(error: BaseException, folder: Path) -> str | None:
    """What the disk did, where that is behind an error.

    TensorFlow's own errors name the file and then the reason, and others may have been raised from them.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, tf.errors.OpError) and str(folder) in error.message:
        return str(error.message).rsplit("; ", maxsplit=1)[-1]
    return None if error.__cause__ is None else _disk_fault(error.__cause__, folder)


def _cannot_write(destination: Path, fault: str) -> ExportError:
    return ExportError(
        f"the bundle {destination} cannot be written: {fault}",
        hint="Check the folder's permissions and the room left on its disk; nothing was changed",
    )
