"""Half precision and int8 on networks that were trained here: answers, maps, size and speed, beside Keras.

Usage: python benchmarks/precision.py [digits|shapes ...]

Trains `resnet-mini` on handwritten digits and `resnet50-signs` on drawn shapes, exports each in every precision, and
prints a Markdown table. Every figure is of images that were held out from training and from calibration. Speed is
that of ONNX Runtime on this machine's CPU, one thread, batches of 8, relative to fp32 in the same run; the precisions
take turns. What is written for TensorRT runs here only to see what it says: its form is slow on a CPU.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from support import pointing
from support.comparison import Compared, ask_export, open_session
from support.shapes import write_images
from support.trained import EXPORTS, NETWORKS, Trained

from camserve.export import export_model

COLUMNS = (
    "network",
    "precision",
    "right",
    "top-1 agreement",
    "mean cosine of maps",
    "pointing game: export / Keras / chance",
    "model.onnx",
    "images a second",
)
BATCH = 8
ROUNDS = 30


def export(trained: Trained, folder: Path) -> dict[str, Path]:
    """The network's ONNX file in each precision."""
    calibration = write_images(trained.calibration, folder / "calibration")
    files = {}
    for way, options in EXPORTS.items():
        bundle = export_model(
            trained.network,
            folder / way,
            name="trained",
            preprocessing=trained.preprocessing,
            calibration=calibration,
            cam_top_k=trained.network.output_shape[1],
            formats=["onnx"],
            **options,
        )
        assert bundle.onnx_path is not None
        files[way] = bundle.onnx_path
    return files


def speeds(files: dict[str, Path], images: Any) -> dict[str, float]:
    """Images a second, relative to fp32: medians of batches that take turns, on one thread.

    The threads of a session wait for work by spinning: several sessions with several threads disturb each other.
    """
    sessions = {way: open_session(path, threads=1) for way, path in files.items()}
    seconds: dict[str, list[float]] = {way: [] for way in files}
    for turn in range(ROUNDS + 2):
        for way, session in sessions.items():
            began = time.perf_counter()
            session.run(None, {"image": images[:BATCH]})
            if turn >= 2:  # the first runs allocate
                seconds[way].append(time.perf_counter() - began)
    return {way: median(seconds["fp32"]) / median(taken) for way, taken in seconds.items()}


def told_of_pointing(compared: Compared, trained: Trained) -> str:
    """The pointing game's three figures, or a dash where places are not known."""
    if trained.masks is None:
        return "–"
    grid = compared.keras.maps.shape[2:]
    shares = (*compared.pointing(trained.masks), pointing.chance_level(grid, trained.masks))
    return " / ".join(f"{share:.1%}" for share in shares)


def main() -> None:
    """Trains, exports and measures each network, and prints its lines."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name in sys.argv[1:] or NETWORKS:
        trained = NETWORKS[name]()
        with tempfile.TemporaryDirectory() as folder:
            files = export(trained, Path(folder))
            relative = speeds(files, trained.inputs)
            for way, path in files.items():
                compared = Compared(trained.answers, ask_export(open_session(path), trained.inputs), trained.bias)
                line = (
                    name,
                    way,
                    f"{np.mean(compared.export.classes == trained.classes):.1%}",
                    f"{compared.agreement:.2%}",
                    f"{compared.cosine:.4f}",
                    told_of_pointing(compared, trained),
                    f"{path.stat().st_size / 1e6:.1f} MB",
                    f"{relative[way]:.2f}×",
                )
                print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
