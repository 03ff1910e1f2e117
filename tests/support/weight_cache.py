"""Keep trained weights in the checkout, so that a network is trained once for all processes and later runs."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

__all__ = ["load_or_train"]

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / ".pytest_cache" / "trained"
_SOURCES = (
    "tests/support/training.py",
    "tests/support/trained.py",
    "tests/support/shapes.py",
    "src/camserve/demo/digits.py",
    "export/source/networks.py",
    "export/source/residual.py",
)
"""The files that determine what is trained and how; a change to one of them trains again."""


def load_or_train(name: str, build: Callable[[], keras.Model], train: Callable[[], keras.Model]) -> keras.Model:
    """Load a network's weights from the cache, or train it and store them; other processes wait meanwhile.

    Args:
        name: Name of the network in the cache.
        build: Build the network with any weights.
        train: Build and train the network.
    """
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{name}-{_key()}.weights.h5"
    with (_FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            network = build()
            network.load_weights(path)
            return network
        network = train()
        for outdated in _FOLDER.glob(f"{name}-*.weights.h5"):
            outdated.unlink()
        partial = _FOLDER / f"{name}.partial.weights.h5"
        network.save_weights(partial)
        partial.replace(path)
        return network


def _key() -> str:
    digest = hashlib.sha256(f"{keras.__version__} {tf.__version__} {np.__version__}".encode())
    for source in _SOURCES:
        digest.update((_ROOT / source).read_bytes())
    return digest.hexdigest()[:16]
