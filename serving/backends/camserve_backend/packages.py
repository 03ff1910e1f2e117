"""The installed packages of a framework, and the commands that replace them by one for GPUs.

Packages such as `onnxruntime` and `onnxruntime-gpu` contain the same folder: the one that was installed last replaces
the files of the other, and both remain listed as installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from .gpu_obstacles import Obstacle

__all__ = ["built_without", "installed_packages"]


def installed_packages(module: str | Path) -> dict[str, str]:
    """Return the version of each installed package that contains a framework, by name.

    Args:
        module: The file `__init__.py` of the framework that is in use.
    """
    path = Path(module)
    name = f"{path.parent.name}/{path.name}"
    # Reading the list of files of every package would take long.
    named = (each for each in distributions() if (each.metadata["Name"] or "").lower().startswith(path.parent.name))
    found = (each for each in named if name in map(str, each.files or ()) and Path(str(each.locate_file(name))) == path)
    return {each.metadata["Name"]: each.version for each in found}


def built_without(label: str, packages: Mapping[str, str], active: str, install: str) -> Obstacle:
    """Return the obstacle of a framework that was built without a feature.

    Args:
        label: Name of the feature, such as `CUDA`.
        packages: The installed packages of the framework: their versions by name.
        active: Name of the package whose files are in use.
        install: What to install instead, as an argument of pip.
    """
    names = sorted(packages) or [active]
    command = f"pip uninstall --yes {' '.join(names)} && pip install {install}"
    if len(names) == 1:
        installed = " ".join([names[0], *packages.values()])
        return Obstacle(f"{installed} is installed, which is built without {label}", f"Replace it: {command}")
    installed = " and ".join(f"{name} {packages[name]}" for name in names)
    return Obstacle(
        f"{installed} are installed in the same folder, with the files of {active}, which is built without {label}",
        f"Remove them and install one: {command}",
    )
