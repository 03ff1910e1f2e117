"""The extras: no combination for one kind of host installs two packages of ONNX Runtime, and hints respect that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib
from support.installed_packages import add_package

from camserve import extras

ROOT = Path(__file__).parent.parent
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def names(*wanted: str) -> set[str]:
    """Return the names of all packages that extras require directly."""
    found: set[str] = set()
    for requirement in (requirement for extra in wanted for requirement in EXTRAS[extra]):
        nested = re.match(r"camserve\[(.*)\]", requirement)
        found |= names(*nested[1].split(",")) if nested else {re.split(r"[\[<>=!;]", requirement)[0].strip()}
    return found


@pytest.mark.parametrize("wanted", [["export", "server"], ["demo"], ["dev"], ["bundle"], ["export"], ["server"]])
def test_the_extras_for_cpus_install_onnxruntime_only(wanted: list[str]) -> None:
    assert names(*wanted).intersection(RUNTIMES) == {"onnxruntime"}


@pytest.mark.parametrize("wanted", [["bundle-gpu", "export-gpu", "server-gpu"], ["export-gpu"], ["server-gpu"]])
def test_the_extras_for_gpus_install_onnxruntime_gpu_only(wanted: list[str]) -> None:
    assert names(*wanted).intersection(RUNTIMES) == {"onnxruntime-gpu"}


@pytest.mark.parametrize("extra", ["export", "server"])
def test_the_extras_for_gpus_differ_only_in_onnxruntime(extra: str) -> None:
    assert names(extra) - {"onnxruntime"} == names(f"{extra}-gpu") - {"onnxruntime-gpu"} == names(f"{extra}-base")


def test_every_package_with_the_module_onnxruntime_is_found(tmp_path: Path) -> None:
    assert extras.onnxruntime_packages([str(tmp_path)]) == {}
    add_package(tmp_path, "onnxruntime-gpu", "1.31.1", "onnxruntime/__init__.py")
    add_package(tmp_path, "onnxruntime", "1.32.0", "onnxruntime/__init__.py")
    add_package(tmp_path, "onnxruntime-extensions", "0.14.0", "onnxruntime_extensions/__init__.py")
    assert extras.onnxruntime_packages([str(tmp_path)]) == {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}


@pytest.mark.parametrize(
    ("installed", "command"),
    [
        ([], "pip install 'camserve[export]'"),
        (["onnxruntime"], "pip install 'camserve[export]'"),
        (["onnxruntime-gpu"], "pip install 'camserve[export-gpu]'"),
    ],
)
def test_a_hint_names_the_extra_for_the_installed_runtime(
    installed: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in installed:
        add_package(tmp_path, name, "1.31.1", "onnxruntime/__init__.py")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert extras.install_command("export") == command
    assert extras.install_command("plot") == "pip install 'camserve[plot]'"
