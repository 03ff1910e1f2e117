"""The code that decodes and preprocesses image files for a version, copied from this installation of camserve.

The client uses the same modules, so that a file gives the same pixels in both. They are part of the version: its
manifest contains their checksums, and a rollback restores them with the model.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import camserve

__all__ = ["write_code"]

_FOLDERS = ("contract", "images", "resize", "clients/answers")
_MODULES = (
    "__init__",
    "argument_checks",
    "caption",
    "colormaps",
    "contract_change",
    "errors",
    "heatmap",
    "interpolation",
    "labels",
    "lazy",
    "pixels",
    "ranking",
    "strict_json",
    "tensors",
    "text",
    "clients/__init__",
    "clients/image_file_model",
    "clients/wire/__init__",
    "clients/wire/values",
)


def write_code(path: Path) -> None:
    """Write the modules that `camserve.clients.image_file_model` imports into an archive that Python imports from.

    Args:
        path: The new archive; its bytes depend on nothing but the modules.
    """
    source = Path(camserve.__file__).parent
    names = [*_MODULES, *(f"{folder}/{path.stem}" for folder in _FOLDERS for path in (source / folder).glob("*.py"))]
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(names):
            entry = zipfile.ZipInfo(f"camserve/{name}.py")  # with a fixed time
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (source / f"{name}.py").read_bytes())
