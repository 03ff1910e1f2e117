"""Load one attack after the other, and print the outcome of each as a line of JSON."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

import h5py
import numpy as np

from camserve.cli import main
from camserve.errors import CamserveError
from camserve.export.source.load import load_source

IMAGE = np.zeros((1, 4, 4, 3), np.float32)


def by_loader(source: str, weights: str | None, custom: list[str]) -> dict[str, Any]:
    try:
        load_source(source, weights, custom_objects=custom).model(IMAGE)
    except CamserveError as error:
        return {"refused": error.message, "hint": error.hint, "code": error.exit_code}
    return {"refused": None}


def by_command(source: str, weights: str | None, custom: list[str]) -> dict[str, Any]:
    out = Path(source).parent / "bundle"
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        try:
            more = [] if weights is None else ["--weights", weights]
            more += [word for module in custom for word in ("--custom-objects", module)]
            more += ["--preprocess", "unit", "--resize", "nearest"]
            main(["export", source, *more, "--formats", "onnx", "--out", str(out)])
        except SystemExit as end:
            return {"code": end.code, "stderr": stderr.getvalue(), "bundle": out.exists()}
    return {"code": None}


def by_keras(source: str, weights: str | None, custom: list[str], *, safe_mode: bool = True) -> dict[str, Any]:
    """Load without camserve's checks."""
    objects = {name: item for module in custom for name, item in vars(importlib.import_module(module)).items()}
    sys.path.insert(0, str(Path(source).parent))  # as in a notebook beside the model
    try:
        if Path(source).is_dir() or source.endswith("_of_keras_2.keras"):
            import tf_keras

            tf_keras.models.load_model(source, compile=False)
        else:
            model = keras.models.load_model(source, objects, compile=False, safe_mode=safe_mode)
            if weights is not None:
                model.load_weights(weights)
            model(IMAGE)
    except Exception as error:  # noqa: BLE001  the next attack must run
        return {"refused": f"{type(error).__name__}: {error}"[:300]}
    finally:
        sys.path.pop(0)
    return {"refused": None}


def without_safe_mode(source: str, weights: str | None, custom: list[str]) -> dict[str, Any]:
    return by_keras(source, weights, custom, safe_mode=False)


def by_h5py(source: str, weights: str | None, custom: list[str]) -> dict[str, Any]:
    """Read every array of an HDF5 file, wherever it is stored."""
    path = Path(weights or source)
    if path.suffix == ".keras" and zipfile.is_zipfile(path):  # unpacked, as Keras does if memory is short
        path = Path(zipfile.ZipFile(path).extract("model.weights.h5", path.parent / "unpacked"))
    if path.suffix != ".h5":
        return {}
    with h5py.File(path, "r") as file:
        waiting = [file]
        while waiting:
            item = waiting.pop()
            if isinstance(item, h5py.Group):
                waiting.extend(item.values())
            elif item is not None:  # None is the target of a broken link
                item[()]
    return {}


LOADERS: dict[str, Callable[[str, str | None, list[str]], dict[str, Any]]] = {
    "loader": by_loader,
    "command": by_command,
    "keras": by_keras,
    "keras without its safe mode": without_safe_mode,
    "h5py": by_h5py,
}


def peak() -> int:
    """Return the peak resident memory of this process since `reset_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def run() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    loader = LOADERS[sys.argv[1]]
    for line in sys.stdin:
        name, source, weights, custom = json.loads(line)
        before, began = reset_peak(), time.monotonic()
        outcome = loader(source, weights, custom)
        outcome.update(name=name, grown=peak() - before, seconds=time.monotonic() - began)
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


run()
