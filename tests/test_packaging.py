"""The wheel is complete, and sufficient for a program that only sends requests to a server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.cpu_time import cpu_time_ratio
from support.pythons import VERSIONS, find_python

from camserve.serving import TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.longest]

ROOT = Path(__file__).parent.parent
NOT_FOR_CLIENTS = ("tensorflow", "keras", "onnx", "onnxruntime", "matplotlib", "pyarrow", "scipy")
SOURCES = (".py", ".css", ".js")
PROGRAM = """
import asyncio, sys
import numpy as np
from camserve.clients import AsyncClassifier, Classifier, Pixels

image = Pixels(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")
url = sys.argv[1]

async def classify():
    async with AsyncClassifier(url, "toy") as classifier:
        return await classifier.classify(image, cam=True)

with Classifier(url, "toy") as classifier:
    result = classifier.classify(image, cam=True)
assert asyncio.run(classify()).top == result.top
assert result.cams[0].overlay().size == (8, 8)
print(result.top[0].label)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that it contains no files of earlier builds."""
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
def wheel_python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with only the wheel and its dependencies."""
    interpreter = find_python(request.param)
    if interpreter is None:
        pytest.skip(f"Python {request.param} is not installed")
    folder = tmp_path_factory.mktemp("wheel") / "venv"
    uv = Path(sys.executable).with_name("uv")
    call(uv, "venv", "--quiet", "--python", interpreter, folder)
    call(uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", wheel)
    python = folder / "bin" / "python"
    call(python, "-c", "from camserve.clients import *")  # compiles what it imports
    return python


def call(*command: str | Path, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH would make packages visible that are not installed in the environment.
    others = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in os.environ.items() if name not in others}
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == exit_code, result.stdout + result.stderr
    return result


def test_the_wheel_contains_every_source_file(wheel: Path) -> None:
    package = ROOT / "src" / "camserve"
    files = [
        path
        for folder in (package, *(package / name for name in ("export", "serving", "clients")))
        for suffix in SOURCES
        for path in folder.resolve().rglob(f"*{suffix}")
    ]
    expected = {f"camserve/{relative(path)}" for path in files}
    assert {
        "camserve/pages/base.css",
        "camserve/export/graph/fold.py",
        "camserve/serving/backends/onnxruntime/model.py",
    } <= expected
    contained = set(zipfile.ZipFile(wheel).namelist())
    assert expected - contained == set()
    assert "camserve/py.typed" in contained


def relative(path: Path) -> str:
    package = ROOT / "src" / "camserve"
    return path.relative_to(package if path.is_relative_to(package) else ROOT).as_posix()


def test_the_wheel_contains_only_the_package_and_its_license(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if not name.startswith(("camserve/", "camserve-"))] == []
    assert [name for name in names if name.startswith("camserve/") and not name.endswith((*SOURCES, "py.typed"))] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_clients_need_no_optional_package(wheel_python: Path) -> None:
    found = f"[name for name in {NOT_FOR_CLIENTS!r} if importlib.util.find_spec(name)]"
    code = f"import importlib.util, camserve; from camserve.clients import *; print({found}, camserve.__file__)"
    output = call(wheel_python, "-c", code).stdout
    assert output.startswith("[] ")
    assert str(wheel_python.parent.parent) in output


@pytest.mark.timed
def test_importing_the_classifiers_takes_little_more_than_their_dependencies(wheel_python: Path) -> None:
    ratio = cpu_time_ratio(
        [wheel_python, "-c", "from camserve.clients import AsyncClassifier, Classifier, load_image"],
        [wheel_python, "-c", "import numpy, PIL.Image, pydantic, tritonclient.grpc"],
    )
    assert ratio < 2


def test_the_wheel_classifies(wheel_python: Path, toy_server: TritonServer) -> None:
    assert call(wheel_python, "-W", "error", "-c", PROGRAM, toy_server.grpc_url).stdout.startswith("class ")


def test_the_wheel_installs_the_command(wheel_python: Path) -> None:
    assert "classify" in call(wheel_python.with_name("camserve"), "--help").stdout


def test_the_doctor_works_with_the_clients_only(wheel_python: Path) -> None:
    report = json.loads(call(wheel_python.with_name("camserve"), "doctor", "--json").stdout)
    assert report["faults"] == []
    ready = {verdict["purpose"]: verdict["ready"] for verdict in report["purposes"]}
    assert ready.pop("clients")
    assert not any(ready[purpose] for purpose in ("export", "serve-cpu", "serve-gpu"))


def test_export_names_the_missing_extra(wheel_python: Path, tmp_path: Path) -> None:
    program = wheel_python.with_name("camserve")
    result = call(program, "export", "resnet-mini", "--out", tmp_path / "bundle", exit_code=1)
    assert "camserve[export]" in result.stderr
    assert not (tmp_path / "bundle").exists()
