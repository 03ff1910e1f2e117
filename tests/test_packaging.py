"""The wheel: complete, and enough by itself for a program that only asks a running server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from support.pythons import VERSIONS, find_python

from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NOT_FOR_CLIENTS = ("tensorflow", "keras", "onnx", "onnxruntime", "matplotlib", "pyarrow", "scipy")
ASK = """
import asyncio, sys
import numpy as np
from camserve.clients import AsyncClassifier, Classifier, Pixels

image = Pixels(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")
url = sys.argv[1]

async def ask():
    async with AsyncClassifier(url, "toy") as classifier:
        return await classifier.classify(image, cam=True)

with Classifier(url, "toy") as classifier:
    result = classifier.classify(image, cam=True)
assert asyncio.run(ask()).top == result.top
assert result.cams[0].overlay().size == (8, 8)
print(result.top[0].label)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree, so that leftovers of earlier builds are not in it."""
    tree = tmp_path_factory.mktemp("tree")
    leftovers = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("src", "export", "serving", "clients"):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=leftovers)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    out = tree / "dist"
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module", params=VERSIONS)
def lone_python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and what it asks for, and nothing else."""
    interpreter = find_python(request.param)
    if interpreter is None:
        pytest.skip(f"there is no Python {request.param} here")
    folder = tmp_path_factory.mktemp("lone") / "venv"
    uv = Path(sys.executable).with_name("uv")
    call(uv, "venv", "--quiet", "--python", interpreter, folder)
    call(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "bin" / "python", wheel)
    return folder / "bin" / "python"


def call(*command: str | Path, accepted: int = 0) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH would let the environment see more than was installed into it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == accepted, result.stdout + result.stderr
    return result


def test_the_wheel_holds_every_source_file(wheel: Path) -> None:
    package = ROOT / "src" / "camserve"
    files = [
        path
        for folder in (package, *(package / name for name in ("export", "serving", "clients")))
        for path in folder.resolve().rglob("*.py")
    ]
    expected = {f"camserve/{relative(path)}" for path in files}
    assert {"camserve/export/graph/fold.py", "camserve/serving/backends/onnxruntime/model.py"} <= expected
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected - held == set()
    assert "camserve/py.typed" in held


def relative(path: Path) -> str:
    package = ROOT / "src" / "camserve"
    return path.relative_to(package if path.is_relative_to(package) else ROOT).as_posix()


def test_the_wheel_holds_nothing_but_the_package_and_its_license(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if not name.startswith(("camserve/", "camserve-"))] == []
    assert [name for name in names if name.startswith("camserve/") and not name.endswith((".py", "py.typed"))] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_alone_imports_the_clients(lone_python: Path) -> None:
    found = f"[name for name in {NOT_FOR_CLIENTS!r} if importlib.util.find_spec(name)]"
    code = f"import camserve.clients, importlib.util; print({found}, camserve.__file__)"
    answer = call(lone_python, "-c", code).stdout
    assert answer.startswith("[] ")
    assert str(lone_python.parent.parent) in answer


def test_the_clients_add_less_to_an_import_than_what_they_stand_on(lone_python: Path) -> None:
    codes = ("import numpy, PIL.Image, pydantic, tritonclient.grpc", "import camserve.clients")
    # In turn, and the least of several: a busy moment of the machine meets both.
    rounds = [[seconds(lone_python, code) for code in codes] for _ in range(7)]
    below, all_of_it = map(min, zip(*rounds, strict=True))
    assert all_of_it < 2 * below


def seconds(python: Path, code: str) -> float:
    began = time.monotonic()
    call(python, "-c", code)
    return time.monotonic() - began


def test_the_wheel_alone_classifies(lone_python: Path, toy_server: TritonServer) -> None:
    assert call(lone_python, "-W", "error", "-c", ASK, toy_server.grpc_url).stdout.startswith("class ")


def test_the_wheel_alone_runs_the_command_line(lone_python: Path) -> None:
    assert "classify" in call(lone_python.with_name("camserve"), "--help").stdout


def test_the_wheel_alone_says_what_export_needs(lone_python: Path, tmp_path: Path) -> None:
    program = lone_python.with_name("camserve")
    result = call(program, "export", "resnet-mini", "--out", tmp_path / "bundle", accepted=1)
    assert "camserve[export]" in result.stderr
    assert not (tmp_path / "bundle").exists()
