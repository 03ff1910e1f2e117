"""The extras of the package, and how to install one beside what is installed already."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["install_command", "onnxruntime_packages", "replace_command"]

_CPU, _GPU = "onnxruntime", "onnxruntime-gpu"
_WITH_RUNTIME = ("bundle", "export", "server")
"""The extras that install ONNX Runtime; each has a variant with `-gpu`."""


def onnxruntime_packages(path: Sequence[str] | None = None) -> dict[str, str]:
    """Return the installed packages that contain the module onnxruntime, with their versions.

    There are several, such as onnxruntime-gpu, and they install into the same folder: if two are installed, each has
    overwritten files of the other.

    Args:
        path: Folders to search (default: `sys.path`).
    """
    from importlib.metadata import distributions  # noqa: PLC0415 - slow, and only errors and the doctor need it

    found = distributions(path=list(sys.path if path is None else path))
    return dict(sorted((each.metadata["Name"], each.version) for each in found if _is_onnxruntime(each)))


def install_command(extra: str) -> str:
    """Return the command that installs an extra, without another ONNX Runtime than the installed one."""
    gpu = extra in _WITH_RUNTIME and _GPU in onnxruntime_packages() and _CPU not in onnxruntime_packages()
    return f"pip install 'camserve[{extra}{'-gpu' if gpu else ''}]'"


def replace_command(packages: Sequence[str]) -> str:
    """Return the command that installs a server's ONNX Runtime, for GPUs if one of them is, in place of packages."""
    extra = "server-gpu" if _GPU in packages else "server"
    return f"pip uninstall --yes {' '.join(packages)} && pip install 'camserve[{extra}]'"


def _is_onnxruntime(distribution: Distribution) -> bool:
    # Others have such a name too, but a folder of their own, such as onnxruntime-extensions.
    named = str(distribution.metadata["Name"]).startswith("onnxruntime")
    return named and any(file.parts[:2] == ("onnxruntime", "__init__.py") for file in distribution.files or ())
