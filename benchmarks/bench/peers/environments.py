"""The environment of each server: a venv with its pinned packages, made once and kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.settings import Settings

__all__ = ["NotInstalledError", "environment"]

INSTALL_SECONDS = 900
_MARK = "installed"


class NotInstalledError(RuntimeError):
    """A server cannot be installed here; the message is the reason."""


def environment(peer: Path, settings: Settings) -> Path:
    """Return the Python of a server's environment, which is created if its requirements are new.

    Args:
        peer: The folder of the server.
        settings: Where environments are kept.

    Raises:
        NotInstalledError: If the packages cannot be installed, or not in time.
    """
    requirements = peer / "requirements.txt"
    folder = settings.folder / "envs" / peer.name
    wanted = hashlib.sha256(f"{sys.version} {folder}".encode() + requirements.read_bytes()).hexdigest()
    mark, python = folder / _MARK, folder / "bin" / "python"
    if not (mark.is_file() and mark.read_text() == wanted and python.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Installing {peer.name} in {folder}", file=sys.stderr, flush=True)
        began = time.monotonic()
        _run([sys.executable, "-m", "venv", "--without-pip", folder], INSTALL_SECONDS)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
        _run([*pip, "install", "--quiet", "-r", requirements], INSTALL_SECONDS)
        print(f"Installed {peer.name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        mark.write_text(wanted)
    return python


def _run(words: list[str | Path], seconds: float) -> None:
    """Run a program.

    Raises:
        NotInstalledError: If it fails, with its last error, or takes too long.
    """
    try:
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"not installed within {seconds:.0f} s") from error
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise NotInstalledError(errors[-1][:300])
