"""Import rules: which package may import which, what an import loads, and which names a package exports."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import PROGRAM, run
from support.cpu_time import cpu_time_ratio

ROOT = Path(__file__).parent.parent
PACKAGES = ("camserve.export", "camserve.serving", "camserve.clients")
HEAVY = ("tensorflow", "keras", "onnx", "onnxruntime", "matplotlib", "pyarrow", "scipy", "sklearn")
NOT_FOR_HELP = (*HEAVY, "numpy", "pydantic", "grpc", "tritonclient", "google.protobuf", "PIL")
MOST_OF_TYPER = 4.5
TYPER = (sys.executable, "-c", "import typer, rich")
COMMANDS = ("export", "publish", "serve", "classify", "score", "evaluate", "view", "repository", "demo")


def test_no_package_breaks_an_import_rule() -> None:
    result = lint_imports(ROOT, ROOT / "src")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("serving/repository/listing.py", "camserve.clients.answers.predictions"),
        ("clients/answers/predictions.py", "camserve.export.graph.fold"),
        ("errors.py", "camserve.contract"),
        ("export/graph/fold.py", "camserve.cli"),
        ("export/source/load.py", "camserve.export.gate.parity"),
        ("serving/config/presets.py", "camserve.serving.repository.listing"),
    ],
)
def test_a_forbidden_import_is_found(module: str, forbidden: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src" / "camserve", tmp_path / "src" / "camserve", ignore=shutil.ignore_patterns("__pycache__")
    )
    path = tmp_path / "src" / "camserve" / module
    path.write_text(f"{path.read_text()}\nimport {forbidden}\n")
    result = lint_imports(tmp_path, tmp_path / "src")
    assert result.returncode == 1, result.stdout
    assert forbidden in result.stdout


def lint_imports(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("camserve", (*PACKAGES, *HEAVY, "pydantic", "numpy")),
        ("camserve.cli", ("camserve.export", "camserve.clients", *HEAVY, "pydantic", "numpy", "tritonclient")),
        ("camserve.clients.classifier", (*HEAVY, "camserve.export", "camserve.serving")),
        ("camserve.serving.publishing.publish", ("tensorflow", "keras", "camserve.export", "camserve.clients")),
    ],
)
def test_an_import_loads_only_what_it_needs(module: str, forbidden: tuple[str, ...]) -> None:
    assert loaded_by(module, forbidden) == []


def test_loaded_by_finds_loaded_modules() -> None:
    assert loaded_by("camserve.clients.classifier", ("numpy", "camserve.contract")) == ["numpy", "camserve.contract"]


def loaded_by(module: str, names: tuple[str, ...]) -> list[str]:
    code = f"import sys, {module}; print(*(name for name in {names!r} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    listed = [line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert set(COMMANDS) <= set(listed)


def test_help_loads_no_library_of_the_work() -> None:
    assert loaded_by_help((), NOT_FOR_HELP) == []
    assert set(loaded_by_help(COMMANDS, NOT_FOR_HELP)) <= {"pydantic"}


@pytest.mark.parametrize("name", ["numpy", "pydantic"])
def test_loaded_by_help_finds_a_library(name: str) -> None:
    assert loaded_by_help((), NOT_FOR_HELP, first=name) == [name]


def loaded_by_help(commands: tuple[str, ...], names: tuple[str, ...], *, first: str = "sys") -> list[str]:
    """Return which modules the help of the program and of commands loads, with those that `first` does."""
    code = f"""
import contextlib, io, sys, {first}
from camserve.cli import main
for words in [["--help"], *([command, "--help"] for command in {commands!r})]:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as printed:
        main(words)
    assert "Usage:" in printed.getvalue()
print(*(name for name in {names!r} if name in sys.modules))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.timed
def test_help_takes_little_more_than_importing_typer() -> None:
    assert cpu_time_ratio([PROGRAM, "--help"], TYPER) < MOST_OF_TYPER


@pytest.mark.timed
def test_help_that_loads_the_clients_takes_more() -> None:
    """Negative control."""
    code = "import sys, camserve.clients.classifier; from camserve.cli import main; main()"
    assert cpu_time_ratio([sys.executable, "-c", code, "--help"], TYPER) > MOST_OF_TYPER


@pytest.mark.parametrize("package", ["camserve", "camserve.cli", *PACKAGES])
def test_a_package_exports_every_name_in_all(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
