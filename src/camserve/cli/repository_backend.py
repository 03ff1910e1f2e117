"""`camserve repository backend`: write a backend of camserve for NVIDIA's container."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from camserve.cli.console import print_json, print_line
from camserve.cli.shared_options import Json, one_of
from camserve.serving.config.backends import Backend
from camserve.serving.repository.lint.targets import DEFAULT_RELEASE, RELEASES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camserve.serving import ContainerBackend

__all__ = ["BACKEND_EPILOG", "backend"]

BACKEND_EPILOG = "Example:  camserve repository backend --out triton-backend --target-triton 26.07"

_NAMES = get_args(Backend)


def backend(
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the backend.")],
    name: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="onnxruntime, tensorflow or openvino.",
            autocompletion=one_of(_NAMES),
        ),
    ] = "onnxruntime",
    target_triton: Annotated[
        str,
        typer.Option(metavar="RELEASE", help="Triton release that will use it.", autocompletion=one_of(RELEASES)),
    ] = DEFAULT_RELEASE,
    as_json: Json = False,
) -> None:
    """Write a backend of camserve for NVIDIA's container, and print how to use it.

    It replaces Triton's C++ backend of the same name, and serves the same repository. On GPUs, that of ONNX Runtime has
    what the C++ one has not: fixed batch sizes and CUDA graphs. docs/gpu.md compares them. That of OpenVINO computes in
    the pinned precision, which the C++ one may not.
    """
    from camserve.serving import write_backend

    written = write_backend(out, backend=name, triton=target_triton)
    if as_json:
        print_json(_document(written))
    else:
        _show(written)


def _document(written: ContainerBackend) -> dict[str, Any]:
    commands = {"install": " ".join(written.install_command), "start": " ".join(written.start_command)}
    return {**asdict(written), "path": str(written.path), "commands": commands}


def _show(written: ContainerBackend) -> None:
    print_line(f"{written.path}: camserve's {written.name} backend")
    print_line("")
    cuda = "" if written.cuda is None else f" and for CUDA {written.cuda}"
    print_line(f"Install what it needs, with Python {written.python}{cuda} of Triton {written.triton}:")
    _show_command(written.install_command)
    print_line("Start Triton with it:")
    _show_command(written.start_command)


def _show_command(lines: Sequence[str]) -> None:
    for number, line in enumerate(lines, start=1):
        indent, end = "    " if number == 1 else "      ", "" if number == len(lines) else " \\"
        print_line(f"{indent}{line}{end}")
    print_line("")
