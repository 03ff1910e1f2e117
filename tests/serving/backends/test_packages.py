"""The installed packages of a framework."""

from pathlib import Path

import onnxruntime
import pytest

from camserve.serving.backends.camserve_backend.packages import built_without, installed_packages


def _install(folder: Path, package: str, version: str) -> None:
    metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (metadata / "RECORD").write_text("example/__init__.py,,\n")
    (folder / "example").mkdir(exist_ok=True)
    (folder / "example" / "__init__.py").touch()


def test_the_installed_package_is_found() -> None:
    assert onnxruntime.__version__ in installed_packages(onnxruntime.__file__ or "").values()


def test_packages_in_one_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path / "one", "example", "1.2")
    _install(tmp_path / "one", "example-gpu", "1.1")
    _install(tmp_path / "other", "example-other", "1.0")
    for folder in ("other", "one"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    found = installed_packages(tmp_path / "one" / "example" / "__init__.py")
    assert found == {"example": "1.2", "example-gpu": "1.1"}


def test_one_package_is_replaced() -> None:
    obstacle = built_without("CUDA", {"example": "1.2"}, "example", "example-gpu")
    assert obstacle.reason == "example 1.2 is installed, which is built without CUDA"
    assert obstacle.remedy == "Replace it: pip uninstall --yes example && pip install example-gpu"


def test_all_of_several_packages_are_removed() -> None:
    obstacle = built_without("CUDA", {"example-gpu": "1.1", "example": "1.2"}, "example", "'x[gpu]'")
    assert obstacle.reason == (
        "example 1.2 and example-gpu 1.1 are installed in the same folder, with the files of example, which is built "
        "without CUDA"
    )
    assert obstacle.remedy == (
        "Remove them and install one: pip uninstall --yes example example-gpu && pip install 'x[gpu]'"
    )


def test_an_unknown_package_is_named_as_it_names_itself() -> None:
    obstacle = built_without("CUDA", {}, "onnxruntime-custom", "x")
    assert obstacle.reason == "onnxruntime-custom is installed, which is built without CUDA"
