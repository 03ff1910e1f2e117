"""Whether a Triton server can run here, and what it needs to do so.

The wheel nvidia-pytriton holds the server program, its libraries and its Python backend. pytriton's own Python layer
is not used and not imported. What the wheel lacks, backends for ONNX Runtime and TensorFlow, stands in `backends/`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import ServerError
from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE

__all__ = ["BACKENDS", "TritonInstallation", "assemble", "copy_backend", "find_triton", "server_environment"]

BACKENDS = ("onnxruntime", "tensorflow")
"""Backends of our own: what the embedded Triton lacks."""

_WHEEL = "nvidia-pytriton"
_RELEASE = "0.7.0"
_LAST_PINNED_PYTHON = (3, 12)
_INSTALL = "Install it with: pip install 'camserve[server]'"
_ELSEWHERE = "Serve the repository with NVIDIA's Triton container instead; it needs no change"
_NEEDED_GLIBC = (2, 35)
_BACKENDS = Path(__file__).parents[1] / "backends"
_SHARED = "camserve_backend"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class TritonInstallation:
    """The parts of a Triton server on this machine.

    Attributes:
        program: The `tritonserver` program.
        libraries: Folder of the shared libraries that it was built with.
        python_backend: Folder of Triton's Python backend.
        stub: The program that runs Python models under the running Python's version.
        libpython: The running Python as a shared library, which the stub loads.
        caches: Folder of Triton's response caches.
    """

    program: Path
    libraries: Path
    python_backend: Path
    stub: Path
    libpython: Path
    caches: Path

    def knows(self, flag: str) -> bool:
        """Whether the program has an option of this name, `allow-client-shm` for example."""
        return flag.encode() in self.program.read_bytes()


def find_triton() -> TritonInstallation:
    """Finds every part of the server.

    Raises:
        ServerError: If this host cannot run it; the message names the part that is missing and the way to it.
    """
    check_host(sys.platform, platform.machine(), platform.libc_ver())
    if importlib.util.find_spec("onnxruntime") is None:
        raise ServerError("the embedded Triton needs onnxruntime, which is not installed", hint=_INSTALL)
    package = _package_folder()
    triton = package / "tritonserver"
    return TritonInstallation(
        program=_present(triton / "bin" / "tritonserver", "the server program"),
        libraries=_present(package.parent / "nvidia_pytriton.libs", "the server's libraries"),
        python_backend=_present(triton / "backends" / "python", "Triton's Python backend"),
        stub=_present(
            triton / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub", f"the stub of Python {_PYTHON}"
        ),
        libpython=find_libpython([sysconfig.get_config_var("LIBDIR") or "", str(Path(sys.base_prefix) / "lib")]),
        caches=triton / "caches",
    )


def check_host(system: str, machine: str, libc: tuple[str, str]) -> None:
    """Refuses hosts for which the wheel holds no program.

    Args:
        system: As `sys.platform` says.
        machine: As `platform.machine()` says.
        libc: As `platform.libc_ver()` says.

    Raises:
        ServerError: If it is not Linux on x86-64 with a recent enough glibc.
    """
    if system != "linux" or machine not in ("x86_64", "AMD64"):
        raise ServerError(
            f"the embedded Triton runs on Linux x86-64 and this is {system} on {machine}", hint=_ELSEWHERE
        )
    name, version = libc
    if name != "glibc":
        raise ServerError("the embedded Triton needs glibc and this system has another C library", hint=_ELSEWHERE)
    if tuple(int(part) for part in version.split(".")[:2]) < _NEEDED_GLIBC:
        needed = ".".join(str(part) for part in _NEEDED_GLIBC)
        raise ServerError(f"the embedded Triton needs glibc {needed} and this system has {version}", hint=_ELSEWHERE)


def find_libpython(folders: list[str]) -> Path:
    """The running Python as a shared library, in the first of the folders that has it.

    Raises:
        ServerError: If none has.
    """
    name = f"libpython{_PYTHON}.so.1.0"
    multiarch = [str(Path(folder) / (sysconfig.get_config_var("MULTIARCH") or "")) for folder in folders]
    for folder in [*folders, *multiarch]:
        if folder and (Path(folder) / name).is_file():
            return Path(folder) / name
    raise ServerError(
        f"the embedded Triton needs {name}, and it is in none of {', '.join(sorted({f for f in folders if f}))}",
        hint=f"Install it (Debian, Ubuntu: apt install libpython{_PYTHON}), or use a Python built with --enable-shared",
    )


def assemble(installation: TritonInstallation, folder: Path) -> Path:
    """Lays out a backend directory in `folder` and returns it.

    `python/` is Triton's own backend with the stub of the running Python, the folders of `BACKENDS` are ours, and
    `lib/` holds the Python library alone, so that no other library of its folder is drawn into the server.
    """
    for part in ("python", "lib"):
        (folder / part).mkdir(parents=True)
    # Copies, since Triton refuses a backend whose file is a link out of its folder.
    for path in [*installation.python_backend.iterdir(), installation.stub]:
        if path.is_file():
            shutil.copy(path, folder / "python")
    for name in BACKENDS:
        copy_backend(name, folder / name)
    (folder / "lib" / installation.libpython.name).symlink_to(installation.libpython)
    return folder


def copy_backend(name: str, folder: Path) -> None:
    """Writes one of our backends with all that it needs into a folder of its own, which any Triton can be given.

    Args:
        name: One of `BACKENDS`.
        folder: Made anew; Triton knows the backend by this folder's name.
    """
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_BACKENDS / name, folder, ignore=without_caches)
    shutil.copytree(_BACKENDS / _SHARED, folder / _SHARED, ignore=without_caches)


def server_environment(installation: TritonInstallation, backends: Path, *, temporary: Path) -> dict[str, str]:
    """Environment variables of the server process.

    Args:
        installation: The server's parts.
        backends: Its backend directory.
        temporary: Where it puts its temporary files.
    """
    paths = sysconfig.get_paths()
    environment = {name: value for name, value in os.environ.items() if name != ADMIN_KEY_VARIABLE}
    environment["TMPDIR"] = str(temporary)
    _prepend(environment, "LD_LIBRARY_PATH", str(installation.libraries), str(backends / "lib"))
    # The stub embeds a Python of its own, which finds its home by the first python3 on PATH.
    _prepend(environment, "PATH", str(Path(sys.executable).parent))
    _prepend(environment, "PYTHONPATH", paths["purelib"], paths["platlib"])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    return environment


def _prepend(environment: dict[str, str], name: str, *folders: str) -> None:
    present = [part for part in environment.get(name, "").split(os.pathsep) if part]
    environment[name] = os.pathsep.join(dict.fromkeys([*folders, *present]))


def _package_folder() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            f"the embedded Triton needs the package {_WHEEL}, which is not installed", hint=_install_hint()
        )
    return Path(spec.submodule_search_locations[0])


def _install_hint() -> str:
    if sys.version_info[:2] <= _LAST_PINNED_PYTHON:
        return _INSTALL
    return (
        f"Use Python 3.12, or install it alone, since it asks for numpy 1: pip install --no-deps {_WHEEL}=={_RELEASE}"
    )


def _present(path: Path, what: str) -> Path:
    if not path.exists():
        raise ServerError(f"the package {_WHEEL} lacks {what}: there is no {path}", hint=f"Reinstall it. {_INSTALL}")
    return path
