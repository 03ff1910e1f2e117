"""The Triton installation of this machine and the environment of its process.

The wheel nvidia-pytriton contains the tritonserver program, its libraries and its Python backend. pytriton's own Python
layer is not imported. The wheel has no backends for ONNX Runtime and TensorFlow; these are in `backends/`.
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
from camserve.extras import install_command, onnxruntime_packages, replace_command
from camserve.serving.server.server_options import ADMIN_KEY_VARIABLE

__all__ = ["BACKENDS", "TritonInstallation", "assemble_backends", "copy_backend", "find_triton", "server_environment"]

BACKENDS = ("onnxruntime", "tensorflow", "openvino")
"""The backends of camserve, which the embedded Triton lacks."""

_WHEEL = "nvidia-pytriton"
_RELEASE = "0.7.0"
_LAST_PINNED_PYTHON = (3, 12)
_ELSEWHERE = "Serve the repository with NVIDIA's Triton container instead; it works there unchanged"
_NEEDED_GLIBC = (2, 35)
_BACKENDS = Path(__file__).parents[1] / "backends"
_SHARED = "camserve_backend"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class TritonInstallation:
    """The parts of the Triton installation on this machine.

    Attributes:
        program: The `tritonserver` program.
        libraries: Folder of its shared libraries.
        python_backend: Folder of Triton's Python backend.
        stub: The program that runs Python models, for the version of the running Python.
        libpython: Shared library of the running Python, which the stub loads.
        caches: Folder of Triton's response caches.
    """

    program: Path
    libraries: Path
    python_backend: Path
    stub: Path
    libpython: Path
    caches: Path

    def supports(self, flag: str) -> bool:
        """Check whether the program has an option, such as `allow-client-shm`."""
        return flag.encode() in self.program.read_bytes()


def find_triton() -> TritonInstallation:
    """Find the Triton installation.

    Raises:
        ServerError: If this machine cannot run it; the message names the missing part.
    """
    check_host(sys.platform, platform.machine(), platform.libc_ver())
    _check_onnxruntime()
    package = _package_folder()
    triton = package / "tritonserver"
    return TritonInstallation(
        program=_present(triton / "bin" / "tritonserver", "the tritonserver program"),
        libraries=_present(package.parent / "nvidia_pytriton.libs", "the libraries of tritonserver"),
        python_backend=_present(triton / "backends" / "python", "Triton's Python backend"),
        stub=_present(
            triton / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub", f"the stub of Python {_PYTHON}"
        ),
        libpython=find_libpython([sysconfig.get_config_var("LIBDIR") or "", str(Path(sys.base_prefix) / "lib")]),
        caches=triton / "caches",
    )


def check_host(system: str, machine: str, libc: tuple[str, str]) -> None:
    """Check that the wheel contains a program for this machine.

    Args:
        system: Value of `sys.platform`.
        machine: Value of `platform.machine()`.
        libc: Value of `platform.libc_ver()`.

    Raises:
        ServerError: If this is not Linux on x86-64 with a recent enough glibc.
    """
    if system != "linux" or machine not in ("x86_64", "AMD64"):
        raise ServerError(
            f"the embedded Triton requires Linux on x86-64, this is {system} on {machine}", hint=_ELSEWHERE
        )
    name, version = libc
    if name != "glibc":
        raise ServerError("the embedded Triton requires glibc, this system has another C library", hint=_ELSEWHERE)
    if tuple(int(part) for part in version.split(".")[:2]) < _NEEDED_GLIBC:
        needed = ".".join(str(part) for part in _NEEDED_GLIBC)
        raise ServerError(f"the embedded Triton requires glibc {needed}, this system has {version}", hint=_ELSEWHERE)


def find_libpython(folders: list[str]) -> Path:
    """Find the shared library of the running Python in a list of folders.

    Raises:
        ServerError: If it is in none of them.
    """
    name = f"libpython{_PYTHON}.so.1.0"
    multiarch = [str(Path(folder) / (sysconfig.get_config_var("MULTIARCH") or "")) for folder in folders]
    for folder in [*folders, *multiarch]:
        if folder and (Path(folder) / name).is_file():
            return Path(folder) / name
    raise ServerError(
        f"the embedded Triton requires {name}, which is not in {', '.join(sorted({f for f in folders if f}))}",
        hint=f"Install it (Debian, Ubuntu: apt install libpython{_PYTHON}), or use a Python built with --enable-shared",
    )


def assemble_backends(installation: TritonInstallation, folder: Path) -> Path:
    """Create a backend directory in `folder` and return it.

    `python/` is Triton's Python backend with the stub for the running Python, the folders of `BACKENDS` are those of
    camserve, and `lib/` contains only the Python library, so that the server loads no other library of its folder.
    """
    for part in ("python", "lib"):
        (folder / part).mkdir(parents=True)
    # Copied, since Triton refuses backends with links to files outside their folder.
    for path in [*installation.python_backend.iterdir(), installation.stub]:
        if path.is_file():
            shutil.copy(path, folder / "python")
    for name in BACKENDS:
        copy_backend(name, folder / name)
    (folder / "lib" / installation.libpython.name).symlink_to(installation.libpython)
    return folder


def copy_backend(name: str, folder: Path) -> None:
    """Copy a backend with all that it needs into a folder that any Triton can use.

    Args:
        name: One of `BACKENDS`.
        folder: The new or empty folder; its name is the name of the backend in Triton.
    """
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_BACKENDS / name, folder, ignore=without_caches, dirs_exist_ok=True)
    shutil.copytree(_BACKENDS / _SHARED, folder / _SHARED, ignore=without_caches)


def server_environment(
    installation: TritonInstallation, backends: Path, *, temporary: Path, cpu: bool = False
) -> dict[str, str]:
    """Return the environment variables of the server process.

    Args:
        installation: The Triton installation.
        backends: The backend directory.
        temporary: Folder for temporary files.
        cpu: Whether to hide all GPUs.
    """
    paths = sysconfig.get_paths()
    environment = {name: value for name, value in os.environ.items() if name != ADMIN_KEY_VARIABLE}
    environment["TMPDIR"] = str(temporary)
    _prepend(environment, "LD_LIBRARY_PATH", str(installation.libraries), str(backends / "lib"))
    # The stub embeds a Python interpreter, which finds its home through the first python3 on PATH.
    _prepend(environment, "PATH", str(Path(sys.executable).parent))
    _prepend(environment, "PYTHONPATH", paths["purelib"], paths["platlib"])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    if cpu:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    return environment


def _prepend(environment: dict[str, str], name: str, *folders: str) -> None:
    present = [part for part in environment.get(name, "").split(os.pathsep) if part]
    environment[name] = os.pathsep.join(dict.fromkeys([*folders, *present]))


def _check_onnxruntime() -> None:
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None:
        raise ServerError(
            "the embedded Triton requires onnxruntime, which is not installed",
            hint="Install it: pip install 'camserve[server]', or on a GPU host: pip install 'camserve[server-gpu]'",
        )
    if spec.origin is None:
        folder = next(iter(spec.submodule_search_locations or []))
        raise ServerError(
            f"the embedded Triton requires onnxruntime, of which {folder} contains only a part: removing one of "
            "onnxruntime and onnxruntime-gpu also removes files of the other",
            hint=f"Install it again: {replace_command(list(onnxruntime_packages()))}",
        )


def _package_folder() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            f"the embedded Triton requires the package {_WHEEL}, which is not installed", hint=_install_hint()
        )
    return Path(spec.submodule_search_locations[0])


def _install_hint() -> str:
    if sys.version_info[:2] <= _LAST_PINNED_PYTHON:
        return f"Install it with: {install_command('server')}"
    return (
        f"Use Python 3.12, or install it without its dependencies, which require numpy 1: "
        f"pip install --no-deps {_WHEEL}=={_RELEASE}"
    )


def _present(path: Path, what: str) -> Path:
    if not path.exists():
        raise ServerError(
            f"the package {_WHEEL} lacks {what}: {path} does not exist",
            hint=f"Reinstall it: pip install --force-reinstall --no-deps {_WHEEL}=={_RELEASE}",
        )
    return path
