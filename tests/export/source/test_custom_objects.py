"""Custom layers, from the modules passed with `--custom-objects`."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.command_line import UNIT

from camserve.cli import main
from camserve.errors import SourceError, UsageError
from camserve.export.source.architecture import check_architecture, unknown_class_error
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.load import load_source

IMAGES = np.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype(np.float32)
NUMBERS = itertools.count()

LAYERS = """\
import keras

from . import factors


{decorator}
class Scaled(keras.layers.Layer):
    def call(self, x):
        return x * factors.FACTOR


{decorator}
def bent(x):
    return keras.ops.maximum(x, 0.1 * x)
"""
REGISTERED = '@keras.saving.register_keras_serializable(package="{package}")'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Create an empty package in the current directory and return its name."""
    name = f"own_layers_{next(NUMBERS)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "factors.py").write_text("FACTOR = 3.0\n")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield name
    added = [entry for entry in sys.path if entry not in path]  # ONNX Runtime adds a folder of its own
    assert not any(Path(entry).resolve().is_relative_to(tmp_path) for entry in added), (
        "importable during the import only"
    )
    _forget(name)


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    for name in [name for name in keras.saving.get_custom_objects() if name.startswith(f"{package}>")]:
        del keras.saving.get_custom_objects()[name]


def save_model(folder: Path, package: str, suffix: str, *, registered: bool) -> tuple[Path, Any]:
    """Save a network with a layer and an activation of the package, and unregister them."""
    decorator = REGISTERED.format(package=package) if registered else ""
    (folder / package / "parts.py").write_text(LAYERS.format(decorator=decorator))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    parts = importlib.import_module(f"{package}.parts")
    sys.path.pop(0)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation=parts.bent),
            parts.Scaled(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="classes"),
        ]
    )
    path = folder / f"model{suffix}"
    model.save(path)
    outputs = np.asarray(model(IMAGES))
    _forget(package)
    return path, outputs


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("registered", [True, False])
def test_layer_of_a_custom_module_is_loaded(suffix: str, registered: bool, package: str, tmp_path: Path) -> None:
    path, outputs = save_model(tmp_path, package, suffix, registered=registered)
    loaded = load_source(path, custom_objects=["json", f"{package}.parts"])
    np.testing.assert_array_equal(loaded.model(IMAGES), outputs)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_unknown_layer_error_names_class_and_option(suffix: str, package: str, tmp_path: Path) -> None:
    path, _ = save_model(tmp_path, package, suffix, registered=True)
    with pytest.raises(SourceError, match=r"Scaled|bent") as error:
        load_source(path)
    assert error.value.hint is not None
    assert "--custom-objects" in error.value.hint
    assert f"{package}.parts" not in sys.modules, "a model file must not cause an import"


def test_class_missing_from_the_module_is_an_error(package: str, tmp_path: Path) -> None:
    path, _ = save_model(tmp_path, package, ".keras", registered=True)
    with pytest.raises(SourceError, match=rf"neither Keras nor {package}\.factors defines"):
        load_source(path, custom_objects=[f"{package}.factors"])


def test_missing_module_error_names_the_current_directory(package: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"cannot import module '{package}.nothing': ModuleNotFoundError") as error:
        load_source("resnet-mini", custom_objects=[f"{package}.nothing"])
    assert str(tmp_path) in str(error.value.hint)


def test_module_that_fails_is_not_called_missing(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "broken.py").write_text("import a_package_that_is_missing")
    with pytest.raises(SourceError, match="No module named 'a_package_that_is_missing'") as error:
        load_source("resnet-mini", custom_objects=[f"{package}.broken"])
    assert str(error.value.hint).startswith("Change it so that it can be imported, then check it: python -c")


def test_failing_module_error_contains_the_cause(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "broken.py").write_text("import keras\nkeras.layers.Nothing\n")
    with pytest.raises(SourceError, match=r"AttributeError.*Nothing"):
        load_source("resnet-mini", custom_objects=[f"{package}.broken"])


def test_python_file_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="got the file name") as error:
        load_source("resnet-mini", custom_objects=["own.layers.py"])
    assert error.value.hint == "Remove .py: --custom-objects own.layers"


def test_hint_suggests_the_module_named_in_the_file(package: str, tmp_path: Path) -> None:
    path, _ = save_model(tmp_path, package, ".keras", registered=False)
    with pytest.raises(SourceError) as error:
        load_source(path)
    assert str(error.value.hint).endswith(f"--custom-objects {package}.parts")


@pytest.mark.parametrize("module", ["os", "os.path", "builtins", "keras.src.saving", "__main__", "a b", "--help"])
def test_hint_never_suggests_a_module_of_others(module: str) -> None:
    error = unknown_class_error("system", "model.keras", CustomObjects((), {}), module)
    assert str(error.hint).endswith("--custom-objects package.module")


class Own:
    """A custom class."""


def own(x: Any) -> Any:
    return x


TRUSTED = CustomObjects((__name__,), {"Own": Own, "mine>Own": Own, "own": own, "mine>own": own})


def node(class_name: str, module: str | None, registered: str | None, config: Any = None) -> dict[str, Any]:
    return {"class_name": class_name, "module": module, "registered_name": registered, "config": config or {}}


@pytest.mark.parametrize(
    "named",
    [
        node("Own", __name__, "mine>Own"),
        node("Own", __name__, "Own"),
        node("Own", __name__, None),
        node("Own", None, None),
        node("Own", "__main__", "mine>Own"),  # saved from a notebook, then moved to a module
        node("Own", "__main__", "Own"),
        node("function", __name__, "function", "own"),
        node("function", "builtins", "function", "mine>own"),
        node("function", "builtins", "function", "relu"),
        {"class_name": "Own", "config": {}},
    ],
)
def test_custom_objects_are_accepted(named: dict[str, Any]) -> None:
    check_architecture({"layers": [named]}, TRUSTED, "model.keras")


@pytest.mark.parametrize(
    "named",
    [
        node("function", "os", "Own", "system"),
        node("function", "os", "own", "system"),
        node("function", "keras.src.utils.file_utils", "Own", "get_file"),
        node("function", "builtins", "Own", "exec"),
        node("Own", "this", "other>Own"),
        node("Own", "this", None),
        node("Foo", "this", None),
        node("Lambda", "keras.layers", "Own"),
        node("Foo", "keras.layers", "Lambda"),
        node("get_file", "keras.src.utils.file_utils", "get_file"),
        node("__lambda__", None, "Own"),
    ],
)
def test_custom_name_does_not_admit_another_object(named: dict[str, Any]) -> None:
    with pytest.raises(SourceError):
        check_architecture({"layers": [named]}, TRUSTED, "model.keras")


@pytest.mark.parametrize("name", ["", "own/layers", "..layers", "own-layers", "own layers"])
def test_invalid_module_name_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="must be the name of a Python module"):
        load_source("resnet-mini", custom_objects=[name])


def test_current_directory_does_not_shadow_installed_modules(package: str, tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('planted')\n")
    sys.modules.pop("colorsys", None)
    load_source("resnet-mini", custom_objects=["colorsys"])


@pytest.mark.slow
def test_command_line_accepts_several_modules(package: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, _ = save_model(tmp_path, package, ".keras", registered=True)
    modules = ["--custom-objects", "json", "--custom-objects", f"{package}.parts"]
    with pytest.raises(SystemExit) as end:
        main(["export", str(path), *modules, *UNIT, "--formats", "onnx", "--out", str(tmp_path / "out")])
    assert end.value.code == 0, capfd.readouterr().err
    assert (tmp_path / "out" / "model.onnx").is_file()
