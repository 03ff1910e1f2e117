"""What inputs stand for, and which kind of input each of it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

from camserve.clients.scoring.inputs.braces import expand_braces
from camserve.clients.scoring.inputs.named import is_url, local_path
from camserve.clients.scoring.inputs.tar import check_uncompressed
from camserve.clients.scoring.inputs.url_listing import expand_url, is_folder, path_of
from camserve.images.folders import expand

__all__ = ["CSV", "FOLDER", "PARQUET", "TAR", "expanded", "kind_of"]

TAR, CSV, PARQUET, FOLDER = ".tar", ".csv", ".parquet", "folder"


def expanded(given: str) -> Iterator[str]:
    """Yield the paths and URLs that an input stands for."""
    if not is_url(given) and os.path.lexists(given):
        yield given
        return
    for text in expand_braces(given):
        name = local_path(text)
        if is_url(name):
            yield from expand_url(name)
        else:
            yield from map(str, expand(name))


def kind_of(name: str) -> str | None:
    """Return what an input contains; None for an image.

    Raises:
        UsageError: If it is a compressed archive, or a URL that cannot be read.
    """
    path = path_of(name) if is_url(name) else name
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
    if not is_url(name) and os.path.isdir(name):  # noqa: PTH112  (Path.is_dir raises an error without permission)
        return FOLDER
    check_uncompressed(path)
    if extension in {TAR, CSV, PARQUET}:
        return extension
    return FOLDER if is_url(name) and is_folder(name) else None
