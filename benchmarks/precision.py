"""Compare fp16, bf16 and int8 exports of trained networks with Keras: outputs, maps, size and speed.

Usage: python benchmarks/precision.py [digits|shapes|signs ...]

Trains `resnet-mini` on handwritten digits, and a small residual network and `resnet50-signs` on drawn shapes, exports
each in every precision, and prints a Markdown table. Every value is measured on images used neither for training nor
for calibration. Speed is that of ONNX Runtime on this machine's CPU with one thread and batches of 8, relative to fp32
in the same run; the precisions alternate. bf16 is computed by OpenVINO, and left out on a processor without it. The
export for TensorRT is run here only to compare its outputs: it is slow on a CPU.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from support import pointing
from support.comparison import Comparison, open_session, run_export
from support.shapes import write_images
from support.trained import EXPORTS, NETWORKS, Trained

from camserve.export import export_model
from camserve.openvino_runtime import OpenVinoNetwork, capabilities, open_network

PURPOSE = "this benchmark"
COLUMNS = (
    "network",
    "precision",
    "accuracy",
    "top-1 agreement",
    "mean cosine of maps",
    "pointing game: export / Keras / chance",
    "model.onnx",
    "relative speed",
)
BATCH = 8
ROUNDS = 30
WARM_UP = 2  # the first runs allocate memory


def export(trained: Trained, folder: Path) -> dict[str, Path]:
    """Export the network in each precision and return the ONNX files."""
    calibration = write_images(trained.calibration, folder / "calibration")
    files = {}
    bf16 = {"bf16": {"precision": "bf16"}} if "BF16" in capabilities(PURPOSE) else {}
    for name, options in {**EXPORTS, **bf16}.items():
        bundle = export_model(
            trained.network,
            folder / name,
            name="trained",
            preprocessing=trained.preprocessing,
            calibration=calibration,
            cam_top_k=trained.network.output_shape[1],
            formats=["onnx"],
            **options,
        )
        assert bundle.onnx_path is not None
        files[name] = bundle.onnx_path
    return files


class OpenVino:
    """An OpenVINO network with the method of a session of ONNX Runtime that is used here."""

    def __init__(self, network: OpenVinoNetwork) -> None:
        self._network = network

    def run(self, names: Sequence[str] | None, inputs: dict[str, Any]) -> list[Any]:
        """Return the outputs, in the order of their names."""
        (batch,) = inputs.values()
        return list(self._network.run(batch, names or tuple(self._network.outputs)).values())


def opened(name: str, path: Path, threads: int = 0) -> Any:
    """Open a file in the runtime that its precision is for."""
    if name != "bf16":
        return open_session(path, threads=threads)
    return OpenVino(open_network(path, "bf16", purpose=PURPOSE, threads=threads))


def speeds(files: dict[str, Path], images: Any) -> dict[str, float]:
    """Return the images per second relative to fp32: medians of alternating batches on one thread.

    A session's threads spin while they wait for work, so several sessions with several threads disturb each other.
    """
    sessions = {name: opened(name, path, threads=1) for name, path in files.items()}
    seconds: dict[str, list[float]] = {name: [] for name in files}
    for turn in range(WARM_UP + ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"image": images[:BATCH]})
            if turn >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(seconds["fp32"]) / median(measured) for name, measured in seconds.items()}


def pointing_shares(comparison: Comparison, trained: Trained) -> str:
    """Return the three shares of the pointing game, or a dash if the objects' positions are unknown."""
    if trained.masks is None:
        return "–"
    grid = comparison.keras.maps.shape[2:]
    shares = (*comparison.pointing(trained.masks), pointing.chance_level(grid, trained.masks))
    return " / ".join(f"{share:.1%}" for share in shares)


def main() -> None:
    """Train, export and measure each network, and print its rows."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for network in sys.argv[1:] or NETWORKS:
        trained = NETWORKS[network]()
        with tempfile.TemporaryDirectory() as folder:
            files = export(trained, Path(folder))
            relative = speeds(files, trained.inputs)
            for name, path in files.items():
                comparison = Comparison(trained.outputs, run_export(opened(name, path), trained.inputs), trained.bias)
                row = (
                    network,
                    name,
                    f"{np.mean(comparison.export.classes == trained.classes):.1%}",
                    f"{comparison.agreement:.2%}",
                    f"{comparison.cosine:.4f}",
                    pointing_shares(comparison, trained),
                    f"{path.stat().st_size / 1e6:.1f} MB",
                    f"{relative[name]:.2f}×",
                )
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
