"""Find the Python interpreters of the versions that the client library supports."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["VERSIONS", "find_python"]

VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def find_python(version: str) -> Path | None:
    """Find an interpreter of a version on PATH or among the installations of pyenv."""
    return next((path for path in _candidates(version) if _runs(path)), None)


def _candidates(version: str) -> Iterator[Path]:
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin"))
    yield from (folder / f"python{version}" for folder in folders)


def _runs(path: Path) -> bool:
    """Return whether an interpreter starts and can create environments; pyenv has shims for inactive versions too."""
    return (
        path.is_file() and not subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode
    )
