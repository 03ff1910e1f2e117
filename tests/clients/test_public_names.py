from __future__ import annotations

import subprocess
import sys

import camserve.clients

HEAVY = ("tensorflow", "keras", "onnx", "onnxruntime", "matplotlib", "pyarrow", "scipy", "sklearn", "pandas")


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_clients_loads_nothing_heavy() -> None:
    assert loaded_by("from camserve.clients import *").isdisjoint(HEAVY)


def test_a_heavy_import_would_be_noticed() -> None:
    assert "scipy" in loaded_by("from camserve.clients import *; import scipy")


def test_the_door_names_what_it_hands_on() -> None:
    assert list(camserve.clients.__all__) == sorted(camserve.clients.__all__)
    for name in camserve.clients.__all__:
        assert hasattr(camserve.clients, name)


def test_floors_beside_the_clients_stay_shut() -> None:
    program = "import sys; from camserve.clients import *; print(*(m for m in sys.modules if 'camserve.' in m))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    floors = {name.split(".")[1] for name in done.stdout.split()}
    assert floors.isdisjoint({"export", "serving", "bundle", "cli"})
