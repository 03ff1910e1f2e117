from __future__ import annotations

import pkgutil
import subprocess
import sys

import camserve.clients

HEAVY = (
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "matplotlib",
    "pyarrow",
    "scipy",
    "sklearn",
    "pandas",
    "fsspec",
    "aiohttp",
)


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_clients_loads_no_framework() -> None:
    assert loaded_by("from camserve.clients import *").isdisjoint(HEAVY)


def test_import_of_a_framework_would_be_noticed() -> None:
    assert "scipy" in loaded_by("from camserve.clients import *; import scipy")


def test_all_names_are_exported() -> None:
    assert list(camserve.clients.__all__) == sorted(camserve.clients.__all__)
    for name in camserve.clients.__all__:
        assert hasattr(camserve.clients, name)


def test_clients_import_neither_export_nor_serving() -> None:
    program = "import sys; from camserve.clients import *; print(*(m for m in sys.modules if 'camserve.' in m))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    packages = {name.split(".")[1] for name in done.stdout.split()}
    assert packages.isdisjoint({"export", "serving", "bundle", "cli"})


def test_no_public_name_is_that_of_a_module_which_would_replace_it_when_imported() -> None:
    modules = {module.name for module in pkgutil.iter_modules(camserve.clients.__path__)}
    assert modules.isdisjoint(camserve.clients.__all__)
