"""Repair int8 exports of networks trained on drawn shapes, and compare them with all layers in int8 and with float32.

Usage: python benchmarks/int8_repair.py --networks FOLDER [--rounds 30] [NAME ...]

Networks that the folder lacks are trained first (`drawn_networks.py`). Each is exported in fp32, in int8 with
`--int8-layers all`, whatever the gate measures, and with `--int8-layers auto`, which the gate must accept. Accuracy,
the same answers as Keras and the cosine of the maps of Keras's best classes are measured on 2,000 drawings used neither
for training nor for the export. The files run in turn in ONNX Runtime, in batches of 8 on two threads; speeds are
medians of the ratios of each round.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import drawn_networks
import keras
import numpy as np
import numpy.typing as npt
from support.comparison import open_session
from support.shapes import write_images

from camserve.answer_differences import cosines
from camserve.bundle import Bundle
from camserve.errors import ParityError
from camserve.export import Tolerances, export_model

COLUMNS = (
    "network",
    "correct: Keras",
    "all in int8: same answers",
    "cosine of maps",
    "gate",
    "repaired: layers in float32",
    "same answers",
    "cosine of maps",
    "correct",
    "speed to all in int8",
    "to fp32",
    "MB: fp32, all in int8, repaired",
)
ANY = Tolerances(top1_disagreement=1, cam_distance=2, lower_logits=1e6, lower_probabilities=1)
CALIBRATION, HELD_OUT = 400, 2000
CALIBRATION_SEED, HELD_OUT_SEED = 700, 901
BATCH = 8

Answers = dict[str, npt.NDArray[Any]]


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path, required=True, help="folder of the trained networks")
    parser.add_argument("--rounds", type=int, default=30, help="of the speed (default: 30)")
    parser.add_argument("names", nargs="*", default=list(drawn_networks.PRESETS), metavar="NAME")
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for name in options.names:
        network = drawn_networks.load_or_train(name, options.networks)
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells = row(name, network, Path(folder), options.rounds)
            except ParityError as error:
                cells = [name, f"refused: {error.message}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def row(name: str, network: keras.Model, folder: Path, rounds: int) -> list[str]:
    """Export a network in three ways and return its row."""
    write_images(drawn_networks.draw(CALIBRATION, CALIBRATION_SEED)[0], folder / "calibration")
    bundles = {
        "fp32": export(name, network, folder, "fp32"),
        "all": export(name, network, folder, "int8", int8_layers="all", tolerances=ANY),
        "repaired": export(name, network, folder, "int8", int8_layers="auto"),
    }
    pixels, classes = drawn_networks.draw(HELD_OUT, HELD_OUT_SEED)
    images = drawn_networks.inputs(name, pixels)
    probabilities = network.predict(images, batch_size=50, verbose=0)
    answers = {kind: run(bundle, images) for kind, bundle in bundles.items()}
    correct = np.mean(probabilities.argmax(axis=1) == classes)
    relative = speeds(bundles, images[:BATCH], rounds)
    int8 = bundles["repaired"].report["int8"]
    return [
        name,
        f"{correct:.2%}",
        same(answers["all"], probabilities),
        cosine(answers["all"], answers["fp32"]),
        verdict(bundles["all"].report["parity"]),
        f"{len(int8['float32'])} of {int8['layers']}: {', '.join(int8['float32']) or '–'}",
        same(answers["repaired"], probabilities),
        cosine(answers["repaired"], answers["fp32"]),
        f"{np.mean(answers['repaired']['logits'].argmax(axis=1) == classes):.2%}",
        f"{relative['all']:.2f}",
        f"{relative['fp32']:.2f}",
        ", ".join(f"{Path(str(bundle.onnx_path)).stat().st_size / 1e6:.1f}" for bundle in bundles.values()),
    ]


def export(name: str, network: keras.Model, folder: Path, precision: Any, **options: Any) -> Bundle:
    """Export a network with the map of every class, of which each file chooses the order."""
    return export_model(
        network,
        folder / "-".join([precision, *map(str, options.values())][:2]),
        name=name.lower(),
        preprocessing=drawn_networks.PRESETS[name],
        resize="bilinear",
        labels=list(drawn_networks.CLASSES),
        cam_top_k=len(drawn_networks.CLASSES),
        formats="onnx",
        precision=precision,
        calibration=folder / "calibration",
        **options,
    )


def run(bundle: Bundle, images: npt.NDArray[np.float32]) -> Answers:
    """Return logits and the maps in the order of the classes."""
    session = open_session(Path(str(bundle.onnx_path)))
    names = ["logits", "cam", "cam_class"]
    parts = [session.run(names, {"image": images[start : start + 50]}) for start in range(0, len(images), 50)]
    logits, cam, cam_class = (np.concatenate(part) for part in zip(*parts, strict=True))
    by_class = cam_class.argsort(axis=1)[:, :, np.newaxis, np.newaxis]
    return {"logits": logits, "cam": np.take_along_axis(cam, by_class, axis=1).astype(np.float64)}


def same(answers: Answers, probabilities: npt.NDArray[Any]) -> str:
    """Return the share of the images with Keras's best class."""
    return f"{np.mean(answers['logits'].argmax(axis=1) == probabilities.argmax(axis=1)):.2%}"


def cosine(answers: Answers, reference: Answers) -> str:
    """Return the mean cosine of the maps of the reference's five best classes."""
    best = np.argsort(-reference["logits"], axis=1)[:, :5, np.newaxis, np.newaxis]
    maps, expected = (np.take_along_axis(each["cam"], best, axis=1) for each in (answers, reference))
    return f"{float(np.mean(cosines(maps, expected))):.4f}"


def verdict(metrics: list[Mapping[str, Any]]) -> str:
    """Return which metrics exceed their default tolerances."""
    failed = [
        f"{each['figure']} {each['value']:.3g}"
        for each in metrics
        if each["default"] is not None and (each["interval"] or [each["value"]])[0] > each["default"]
    ]
    return f"refuses: {', '.join(failed)}" if failed else "accepts"


def speeds(bundles: Mapping[str, Bundle], images: npt.NDArray[np.float32], rounds: int) -> dict[str, float]:
    """Return the speed of the repaired file relative to each file."""
    sessions = {kind: open_session(Path(str(bundle.onnx_path)), threads=2) for kind, bundle in bundles.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in sessions}
    for turn in range(rounds + 2):
        for kind in (*sessions,) if turn % 2 else (*reversed(sessions),):
            session = sessions[kind]
            start = time.perf_counter()
            session.run(None, {"image": images})
            if turn > 1:  # the first runs allocate memory
                seconds[kind].append(time.perf_counter() - start)
    pairs = {kind: zip(measured, seconds["repaired"], strict=True) for kind, measured in seconds.items()}
    return {kind: median(other / repaired for other, repaired in pair) for kind, pair in pairs.items()}


if __name__ == "__main__":
    main()
