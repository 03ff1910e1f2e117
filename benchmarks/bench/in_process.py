"""In a program: ResNet50 in Keras, TensorFlow, ONNX Runtime and OpenVINO, beside camserve's files in every precision.

The answers are compared with those of Keras's `predict` in float32: of ResNet50 with random weights, and of a small
network that is trained on drawn shapes, for images that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from support import shapes

from bench.networks import export, file_of, images, keras_resnet50, onnx_file
from bench.opponents import KERAS, opponents
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16
from bench.settings import Settings
from bench.tables import Cell, Table, goal
from bench.turns import Rates, images_per_second, take_turns
from camserve.tensors import CAM, CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["measure"]

BATCHES = (1, 8, 32)
COMPARED = 64
OURS = "camserve"
OUTPUTS = (PROBABILITIES, LOGITS, CAM, CAM_CLASS)

Speeds = Rates[tuple[str, int]]


def measure(settings: Settings) -> list[Table]:
    """Compare the speed and the answers."""
    files = {precision: onnx_file(settings, precision) for precision in ("fp32", "int8")}
    runs = {**opponents(keras_resnet50(settings), "resnet50", settings), **ours(files, settings.cores)}
    batches = BATCHES[:2] if settings.quick else BATCHES
    speeds = measure_speeds(runs, batches, settings)
    compared = COMPARED // 4 if settings.quick else COMPARED
    answers = accuracy(runs, images(compared))
    tables = [speed_table(runs, speeds, batches, answers, compared), goals(runs, speeds, batches)]
    return tables if settings.quick else [*tables, trained_table(settings)]


def ours(files: Mapping[str, Path], threads: int) -> dict[str, Run]:
    """Return functions that compute the probabilities, and the maps beside them, with camserve's files."""
    runs: dict[str, Run] = {
        f"{OURS} fp32, ONNX Runtime": in_onnxruntime(files["fp32"], threads, OUTPUTS),
        f"{OURS} fp32, OpenVINO": in_openvino(files["fp32"], threads, "f32", OUTPUTS),
    }
    if native_bf16():
        runs[f"{OURS} bf16, OpenVINO"] = in_openvino(files["fp32"], threads, "bf16", OUTPUTS)
    runs[f"{OURS} int8, ONNX Runtime"] = in_onnxruntime(files["int8"], threads, OUTPUTS)
    runs[f"{OURS} int8, OpenVINO"] = in_openvino(files["int8"], threads, "f32", OUTPUTS)
    return runs


def measure_speeds(runs: Mapping[str, Run], batches: Sequence[int], settings: Settings) -> Speeds:
    """Return the images per second by run and batch size; all of them have a turn in every round."""
    drawn = {batch: images(batch) for batch in batches}
    return take_turns(
        {
            (name, batch): images_per_second(partial(run, drawn[batch]), batch, settings)
            for name, run in runs.items()
            for batch in batches
        },
        settings.rounds,
    )


def best_batch(name: str, speeds: Speeds, batches: Sequence[int]) -> tuple[str, int]:
    """Return a run with the batch size at which it is fastest."""
    return max(((name, batch) for batch in batches), key=speeds.median)


def accuracy(runs: Mapping[str, Run], inputs: Any) -> dict[str, tuple[Cell, ...]]:
    """Return for each run the largest difference of a logit from Keras's, and the share of images of the same class.

    Logits are the logarithms of probabilities, less their mean.
    """
    found = {name: logits(run, inputs) for name, run in runs.items()}
    reference = found[KERAS]
    same = {name: float(np.mean(each.argmax(axis=1) == reference.argmax(axis=1))) for name, each in found.items()}
    return {name: (float(np.abs(each - reference).max()), f"{same[name]:.1%}") for name, each in found.items()}


def logits(run: Run, inputs: Any) -> Any:
    """Return the logits of images, `[count, classes]`, computed from the probabilities of batches of 8."""
    probabilities = np.concatenate([run(inputs[at : at + 8])[0] for at in range(0, len(inputs), 8)])
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    return logarithms - logarithms.mean(axis=1, keepdims=True)


def speed_table(
    runs: Mapping[str, Run], speeds: Speeds, batches: Sequence[int], answers: Mapping[str, tuple[Cell, ...]], count: int
) -> Table:
    """Return the table of ResNet50."""
    baseline = best_batch(KERAS, speeds, batches)
    rows = [
        (
            name,
            *(speeds.median((name, batch)) for batch in batches),
            speeds.ratio(best_batch(name, speeds, batches), baseline),
            *answers[name],
        )
        for name in runs
    ]
    note = (
        "Images per second by batch size, and relative to Keras `predict`, each at its best batch size; "
        f"{OURS} with all of its outputs, maps included. Difference: the largest of a logit from Keras's in {count} "
        "images; the standard deviation of the logits is 0.7. Random weights give 1,000 classes almost the same "
        "probability, so that a small difference changes the best class."
    )
    heads = (f"batch {batch}" for batch in batches)
    return Table("ResNet50 in a program", note, ("", *heads, "relative", "difference", "same class"), rows)


def goals(runs: Mapping[str, Run], speeds: Speeds, batches: Sequence[int]) -> Table:
    """Return the table of the goal."""
    best = max((best_batch(name, speeds, batches) for name in runs if name.startswith(OURS)), key=speeds.median)
    ratio = speeds.ratio(best, best_batch(KERAS, speeds, batches))
    what = f"{best[0]} to {KERAS}, each at its best batch"
    return Table("Goal", "", ("ratio", "measured", "limit", "met"), [goal(what, ratio, 10.0 if native_bf16() else 5.0)])


def trained_table(settings: Settings) -> Table:
    """Return the answers of a trained network."""
    from support.trained import shapes_network

    trained = shapes_network()
    files = {}
    for precision in ("fp32", "int8"):
        options: dict[str, Any] = {"preprocessing": trained.preprocessing, "precision": precision}
        if precision == "int8":
            folder = settings.folder / "networks" / "shapes"
            options["calibration"] = shapes.write_images(trained.calibration, folder)
        files[precision] = file_of(export(settings, f"shapes-{precision}", lambda: trained.network, options))
    runs = {**opponents(trained.network, "shapes", settings), **ours(files, settings.cores)}
    answers = accuracy(runs, trained.inputs)
    correct = {
        name: np.mean(logits(run, trained.inputs).argmax(axis=1) == trained.classes) for name, run in runs.items()
    }
    rows = [(name, f"{correct[name]:.1%}", *answers[name]) for name in runs]
    note = f"The same for {len(trained.classes):,} images of 4 classes; with trained weights."
    return Table("Answers of a small trained network", note, ("", "correct", "difference", "same class"), rows)


def correct(run: Run, inputs: Any, classes: Any) -> float:
    """Return the share of images that are classified correctly."""
    return float(np.mean(logits(run, inputs).argmax(axis=1) == classes))
