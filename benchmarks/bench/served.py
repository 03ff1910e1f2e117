"""Served: the embedded Triton against MLServer, KServe, LitServe, BentoML and Ray Serve, with the same ONNX file.

Every server has one session of ONNX Runtime with as many threads as there are cores, and batches of up to 8. One
closed loop on the same cores sends requests with one image to each in turn, while the others are paused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.networks import images as drawn_images
from bench.networks import mobilenet, resnet50
from bench.peers.catalog import PEERS
from bench.peers.closed_loop import ClosedLoop, Sent
from bench.peers.contenders import MAX_BATCH, Contender, Ours, Trial, our_contenders, peer_contenders
from bench.peers.processes import exit_when_terminated
from bench.runtimes import in_onnxruntime, native_bf16
from bench.settings import Settings
from bench.tables import Cell, Table, goal
from camserve.choices import Precision
from camserve.serving.config.backends import Backend

__all__ = ["measure"]

IMAGES = 8
SETTLING = 0.3  # seconds of requests before those that count, in each turn
WARM_UP = 1.0
GOAL = 1.5
GOAL_FROM = 4


@dataclass
class Results:
    """What was measured of a network: a `Sent` for each round, by contender and concurrency."""

    network: str
    concurrency: Sequence[int]
    contenders: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    sent: dict[tuple[int, int], list[Sent]] = field(default_factory=dict)

    def rate(self, contender: int, concurrency: int) -> float:
        """Return the median of the images per second."""
        return median(each.rate for each in self.sent[contender, concurrency])

    def latency(self, contender: int, concurrency: int, percentile: float) -> float | None:
        """Return a percentile of all latencies in milliseconds, or None if nothing was answered."""
        latencies = [second for each in self.sent[contender, concurrency] for second in each.settled]
        return float(np.percentile(latencies, percentile)) * 1e3 if latencies else None

    def ratio(self, contender: int, other: int, concurrency: int) -> float:
        """Return the median of the ratios of the images per second within a round."""
        both = zip(self.sent[contender, concurrency], self.sent[other, concurrency], strict=True)
        return median(ours.rate / theirs.rate if theirs.rate else float("inf") for ours, theirs in both)


def measure(settings: Settings) -> list[Table]:
    """Measure a light network, in which serving takes the time, and a large one, in which arithmetic does.

    The light one alone if a rough result is enough: starting the servers with another network takes most of the time.
    """
    exit_when_terminated()
    choices: list[tuple[Precision, Backend]] = [("fp32", "onnxruntime"), *others()]
    results = []
    if not settings.quick:
        models = [Ours(resnet50(settings, precision), precision, backend) for precision, backend in choices]
        results.append(compare("ResNet50 224 × 224, float32", models, drawn_images(IMAGES), settings))
    models = [Ours(mobilenet(settings, precision), precision, backend) for precision, backend in choices]
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *models[0].bundle.contract.input.shape), np.uint8)
    results.append(compare("MobileNetV2 96 × 96, uint8", models, pixels, settings))
    return [*(table for each in results for table in tables(each)), goals(results)]


def others() -> list[tuple[Precision, Backend]]:
    """Return the precisions and backends beside fp32 in ONNX Runtime.

    int8 in OpenVINO is not among them: with random weights its answers differ so much from the golden ones, which are
    of ONNX Runtime, that `publish` refuses it.
    """
    precisions: tuple[Precision, ...] = ("fp32", *(("bf16",) if native_bf16() else ()))
    return [("int8", "onnxruntime"), *((precision, "openvino") for precision in precisions)]


def compare(network: str, models: Sequence[Ours], images: Any, settings: Settings) -> Results:
    """Start everything with a network, and measure it in turn; the first model is that of the peers."""
    results = Results(network, (4, 16) if settings.quick else (1, 4, 16, 64))
    path = models[0].bundle.onnx_path
    assert path is not None
    run = in_onnxruntime(path, settings.cores, ["logits"])
    expected = np.concatenate([run(image[None])[0] for image in images])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="camserve-served-")))
        loop = stack.enter_context(ClosedLoop())
        trial = Trial(images, expected, loop, settings)
        ours = stack.enter_context(our_contenders(models, trial, folder))
        peers, results.missing = stack.enter_context(peer_contenders(PEERS, models[0].bundle, trial))
        results.contenders = [*ours, *peers]
        take_turns(results, trial)
    return results


def take_turns(results: Results, trial: Trial) -> None:
    """Give each contender a turn in each round, every second round in the opposite order."""
    rounds, seconds = (1, 0.5) if trial.settings.quick else (3, 2.0)
    for contender in results.contenders:
        with contender.turn():
            trial.loop.send(contender.target, trial.images, contender.logits, 2 * MAX_BATCH, WARM_UP)
    for number in range(rounds):
        for index in range(len(results.contenders))[:: -1 if number % 2 else 1]:
            contender = results.contenders[index]
            with contender.turn():
                trial.loop.send(contender.target, trial.images, contender.logits, MAX_BATCH, SETTLING)
                for concurrency in results.concurrency:
                    sent = trial.loop.send(contender.target, trial.images, contender.logits, concurrency, seconds)
                    results.sent.setdefault((index, concurrency), []).append(sent)


def tables(results: Results) -> list[Table]:
    """Return the throughput and the latency."""
    lead = ("server", "computes in")
    rates = [
        (
            each.name,
            each.precision,
            each.protocol,
            each.difference,
            *(results.rate(index, concurrency) for concurrency in results.concurrency),
            sum(sum(sent.errors.values()) for (i, _), turns in results.sent.items() if i == index for sent in turns),
            client_milliseconds(results, index),
        )
        for index, each in enumerate(results.contenders)
    ]
    latencies = [
        (
            each.name,
            each.precision,
            *(
                results.latency(index, concurrency, percentile)
                for concurrency in results.concurrency
                for percentile in (50, 99)
            ),
        )
        for index, each in enumerate(results.contenders)
    ]
    pending = [f"{concurrency} pending" for concurrency in results.concurrency]
    columns = (*lead, "protocol", "difference of logits", *pending, "errors", "client, ms of processor")
    spread = [f"{each}: {what}" for each in pending for what in ("p50", "p99")]
    return [
        Table(f"{results.network}: images per second", note(results), columns, rates),
        Table(f"{results.network}: latency in ms", "Of the same requests.", (*lead, *spread), latencies),
    ]


def note(results: Results) -> str:
    """Return how to read the rates, and what is missing."""
    text = (
        "One image in a request; so many requests are always pending, from one process on the same cores. Every server "
        "has one session of ONNX Runtime with the same file and as many threads as there are cores (camserve also in "
        "other precisions and in OpenVINO), and is asked in "
        "the fastest way that it documents: MLServer gets images as bytes, since it makes lists of other tensors, and "
        "BentoML has one service that receives raw bytes and another that batches. Batches have up to "
        f"{MAX_BATCH} images, and wait for 1 ms (MLServer, LitServe, Ray Serve), as BentoML adapts it, or 0.1 ms "
        "(camserve); KServe's Python server has no batching. Peers other than the one whose turn it is are paused. The "
        "difference of logits is from ONNX Runtime without a server, relative to the largest; answers that differ from "
        "those to the same image alone by more than 0.1 % are errors."
    )
    return " ".join([text, *(f"Not measured: {name}: {reason}." for name, reason in results.missing.items())])


def client_milliseconds(results: Results, index: int) -> float | None:
    """Return the processor time that a request takes in the client, in milliseconds, with most requests pending."""
    turns = results.sent[index, max(results.concurrency)]
    answered = sum(len(sent.latencies) for sent in turns)
    return sum(sent.processor for sent in turns) / answered * 1e3 if answered else None


def goals(measured: Sequence[Results]) -> Table:
    """Compare ours with the best of the peers at each concurrency."""
    rows: list[tuple[Cell, ...]] = []
    for results in measured:
        ours = [index for index, each in enumerate(results.contenders) if each.process is None]
        peers = [index for index, each in enumerate(results.contenders) if each.process is not None]
        for concurrency in results.concurrency if peers else ():
            best = max(peers, key=lambda index: results.rate(index, concurrency))
            fastest = max(ours, key=lambda index: results.rate(index, concurrency))
            for index in dict.fromkeys((ours[0], fastest)):
                each = results.contenders[index]
                what = (
                    f"{results.network}, {concurrency} pending: {each.name} {each.precision} to "
                    f"{results.contenders[best].name}"
                )
                ratio = results.ratio(index, best, concurrency)
                rows.append(goal(what, ratio, GOAL) if concurrency >= GOAL_FROM else (what, ratio, None, None))
    note = (
        "Images per second relative to the best peer at that concurrency: with the same file and runtime, and, where "
        "it is another, in the precision and runtime that are fastest here."
    )
    return Table("Served: ours to the best peer", note, ("ratio", "measured", "limit", "met"), rows)
