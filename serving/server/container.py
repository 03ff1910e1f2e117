"""A backend of camserve for NVIDIA's container, with the commands that install what it needs and start Triton with it.

Triton looks for `libtriton_NAME.so` in the folders of the version and of the model and in `BACKENDS/NAME`, and then
for `BACKENDS/NAME/model.py`, which its Python backend runs (`TritonModel::GetBackendRuntimeLibraryName` of its core).
So the folder of camserve's backend must replace that of the compiled one, beside the Python backend. The packages that
the backend needs are installed into its folder, which the interpreter searches, unlike PYTHONPATH (seen with 24.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from camserve.atomic import replace_folder
from camserve.errors import ServingError, UsageError
from camserve.serving.repository.lint.targets import DEFAULT_RELEASE, Target, find_target
from camserve.serving.server.environment import BACKENDS, copy_backend
from camserve.text import reason, suggest

__all__ = ["ContainerBackend", "write_backend"]

_IMAGE = "nvcr.io/nvidia/tritonserver"
_BACKENDS_OF_IMAGE = "/opt/tritonserver/backends"
_MAIN_FILE = "model.py"

_ONNXRUNTIME: Mapping[int, str] = {12: "1.23.2", 13: "1.31.1"}
"""By major version of CUDA, the newest onnxruntime-gpu on PyPI for the containers with it.

The wheels are for CUDA 12 from 1.19 to 1.26 and for CUDA 13 from 1.27 on, as the dependencies of their extras show;
from 1.24 on, there is none for Python 3.10. The extras install CUDA's libraries beside onnxruntime.
"""
_OPENVINO = "openvino==2026.4.1"  # has wheels for Python 3.10 and 3.12
# The stub of older releases was built for numpy 1.
_NUMPY = "numpy==1.26.4"


@dataclass(frozen=True)
class ContainerBackend:
    """A backend of camserve for NVIDIA's container.

    Attributes:
        name: Name of the backend in Triton.
        path: Its folder, into which the packages are to be installed.
        triton: Release of Triton.
        python: Version of Python in that container.
        cuda: Major version of CUDA in that container; None for a backend that computes on the CPU only.
        requirements: The Python packages that it needs, as pip takes them.
    """

    name: str
    path: Path
    triton: str
    python: str
    cuda: int | None
    requirements: tuple[str, ...]

    @property
    def image(self) -> str:
        """The container."""
        return f"{_IMAGE}:{self.triton}-py3"

    @property
    def install_command(self) -> tuple[str, ...]:
        """Lines of a shell command that installs the packages with the container's own pip."""
        return (
            'docker run --rm --user "$(id -u):$(id -g)" --env HOME=/tmp',
            f"--volume {quote(f'{self.path}:/backend')} {self.image}",
            f"python3 -m pip install --no-cache-dir --target /backend {' '.join(map(quote, self.requirements))}",
        )

    @property
    def start_command(self) -> tuple[str, ...]:
        """Lines of a shell command that serves `model_repository` with the backend."""
        gpus = "" if self.cuda is None else " --gpus all"
        return (
            f"docker run --rm{gpus} --shm-size 1g --publish 127.0.0.1:8000-8002:8000-8002",
            f"--volume {quote(f'{self.path}:{_BACKENDS_OF_IMAGE}/{self.name}:ro')}",
            f'--volume "$PWD/model_repository:/models:ro" {self.image}',
            "tritonserver --model-repository=/models --disable-auto-complete-config",
        )


def write_backend(out: str | Path, *, backend: str = "onnxruntime", triton: str = DEFAULT_RELEASE) -> ContainerBackend:
    """Write a backend of camserve into a new folder, for NVIDIA's container.

    Args:
        out: The folder, which must not exist or be empty. The backend gets a folder with its name in it.
        backend: `onnxruntime`, `tensorflow` or `openvino`.
        triton: Release of Triton, such as `26.07`.

    Raises:
        UsageError: If the backend or the release is unknown, or the folder is not empty.
        ServingError: If the folder cannot be written.
    """
    if backend not in BACKENDS:
        raise UsageError(
            f"unknown backend {backend!r}",
            hint=suggest(backend, BACKENDS) or f"Choose one of: {', '.join(BACKENDS)}",
        )
    target = find_target(triton, cores=1)
    folder = Path(out).absolute()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(
                f"cannot write the backend to {folder}: the folder is not empty",
                hint="Choose a new folder: camserve repository backend --out DIR",
            )
        with replace_folder(folder / backend, example=_MAIN_FILE) as written:
            copy_backend(backend, written)
    except OSError as error:
        raise ServingError(f"cannot write the backend to {folder}: {reason(error, folder)}") from None
    return ContainerBackend(
        name=backend,
        path=folder / backend,
        triton=target.release,
        python=target.python,
        cuda=None if backend == "openvino" else target.cuda,
        requirements=_requirements(backend, target),
    )


def _requirements(backend: str, target: Target) -> tuple[str, ...]:
    if backend == "tensorflow":
        return "tensorflow[and-cuda]==2.21.0", _NUMPY
    if backend == "openvino":
        return _OPENVINO, _NUMPY
    return f"onnxruntime-gpu[cuda,cudnn]=={_ONNXRUNTIME[target.cuda]}", _NUMPY
