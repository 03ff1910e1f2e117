"""Write a bundle completely or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camserve.atomic import replace_folder
from camserve.errors import ExportError
from camserve.manifest import MANIFEST_NAME

__all__ = ["staged_bundle"]


@contextmanager
def staged_bundle(destination: Path) -> Iterator[Path]:
    """Yield an empty folder, which replaces the bundle at the destination if the block succeeds.

    If the block fails, the folder is removed and the destination is unchanged.

    Raises:
        ExportError: If the disk is full or the folder cannot be written.
    """
    folder = destination
    try:
        with replace_folder(destination, example=MANIFEST_NAME) as folder:
            yield folder
    except Exception as error:
        fault = _disk_fault(error, folder)
        if fault is None:
            raise
        raise ExportError(
            f"cannot write the bundle {destination}: {fault}",
            hint="Check the permissions of the folder and the free space on its disk; nothing was changed",
        ) from error


def _disk_fault(error: BaseException, folder: Path) -> str | None:
    """Return the reason for which writing below a folder failed; None if the error has another cause.

    TensorFlow's own errors contain the path of the file, then the reason, and may be the cause of other errors.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    tensorflow = sys.modules.get("tensorflow")  # whose errors occur only where it is loaded
    if tensorflow is not None and isinstance(error, tensorflow.errors.OpError) and str(folder) in error.message:
        return str(error.message).rsplit("; ", maxsplit=1)[-1]
    return None if error.__cause__ is None else _disk_fault(error.__cause__, folder)
