"""The packages load their modules on first use, and the frameworks are prepared before any of them is imported."""

from __future__ import annotations

import ast
import importlib
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

import camserve
from camserve.lazy import lazy_exports

FRAMEWORKS = ("tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx")
SLOW = (*FRAMEWORKS, "tritonclient", "grpc", "numpy", "PIL")
EXPORT = Path(camserve.__file__).parent / "export"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("camserve.clients", SLOW),
        ("camserve.export", SLOW),
        ("camserve.serving", SLOW),
        ("camserve.export.gate.tolerances", (*FRAMEWORKS, "tritonclient")),
        ("camserve.export.option_checks", (*FRAMEWORKS, "tritonclient")),
        ("camserve.serving.config.presets", SLOW),
        ("camserve.serving.config.serving_options", SLOW),
        ("camserve.serving.server.server_options", FRAMEWORKS),
    ],
)
def test_an_import_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    assert loaded_by(f"import {module}").isdisjoint(forbidden)


@pytest.mark.parametrize("arguments", [["--set", "max_btach_size=8"], ["--max-batch", "0"], ["--preset", "turbo"]])
def test_usage_errors_of_publish_load_no_slow_module(arguments: list[str]) -> None:
    command = ["publish", "b", "--repository", "r", *arguments]
    statement = f"from camserve.cli import main\ntry: main({command!r})\nexcept SystemExit as end: assert end.code == 2"
    assert loaded_by(statement).isdisjoint(SLOW)


def test_a_command_imports_no_options_of_other_commands() -> None:
    call = "from camserve.cli import main\ntry: main(['classify', '--help'])\nexcept SystemExit: pass"
    program = f"{call}\nimport sys\nprint(*(name for name in sys.modules if name.startswith('camserve.cli.')))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "camserve.cli.classify" in loaded
    assert {"camserve.cli.publish", "camserve.cli.export", "camserve.cli.publish_options"}.isdisjoint(loaded)


def test_a_name_loads_its_module_on_first_use() -> None:
    assert "numpy" in loaded_by("import camserve.clients; camserve.clients.Classifier")


@pytest.mark.parametrize("package", ["camserve.clients", "camserve.export", "camserve.serving"])
def test_a_package_lists_its_names_and_rejects_others(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'misspelled'"):
        module.misspelled  # noqa: B018
    load, names = lazy_exports(package)
    assert all(load(name) is getattr(module, name) for name in module.__all__)
    assert set(names()) >= set(module.__all__)


def test_a_package_without_source_loads_its_names(tmp_path: Path) -> None:
    package = tmp_path / "bundled"
    package.mkdir()
    text = (
        "from typing import TYPE_CHECKING\n"
        "from camserve.lazy import lazy_exports\n"
        "if TYPE_CHECKING:\n    from colorsys import hls_to_rgb, rgb_to_hls\n"
        "else:\n    __getattr__, __dir__ = lazy_exports(__name__)\n"
    )
    (package / "__init__.py").write_text(text)
    py_compile.compile(str(package / "__init__.py"), cfile=str(package / "__init__.pyc"))
    (package / "__init__.py").unlink()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport bundled"
    assert "colorsys" not in loaded_by(program)
    assert "colorsys" in loaded_by(f"{program}\nassert callable(bundled.rgb_to_hls)")


@pytest.mark.parametrize("path", sorted(EXPORT.rglob("*.py")), ids=lambda path: str(path.relative_to(EXPORT)))
def test_frameworks_are_imported_after_their_environment_is_set(path: Path) -> None:
    imported = [name for statement in ast.parse(path.read_text()).body for name in imported_by(statement)]
    if path.name != "frameworks.py" and not {name.partition(".")[0] for name in imported}.isdisjoint(FRAMEWORKS):
        first = next(index for index, name in enumerate(imported) if name.partition(".")[0] in FRAMEWORKS)
        assert "camserve.export.frameworks" in imported[:first]


@pytest.mark.parametrize("path", sorted((EXPORT.parent / "demo").glob("*.py")), ids=lambda path: path.name)
def test_demo_imports_no_framework_directly(path: Path) -> None:
    imported = {name.partition(".")[0] for node in ast.walk(ast.parse(path.read_text())) for name in imported_by(node)}
    assert imported.isdisjoint(FRAMEWORKS), "import it from camserve.export.frameworks, which suppresses its logs"


def test_a_missing_framework_is_named() -> None:
    program = "import sys; sys.modules['tf2onnx'] = None; import camserve.export.frameworks"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ExportError: cannot import tf2onnx" in done.stderr


def imported_by(statement: ast.AST) -> list[str]:
    if isinstance(statement, ast.Import):
        return [name.name for name in statement.names]
    return [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())
