"""Images per second of ONNX Runtime without a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from support.gpu.bundles import Variant
from support.gpu.isolation import MeasurementError, isolated
from support.gpu.results import Results
from support.gpu.sessions import LAYOUTS, Case, check_provider, default_case, opened

__all__ = ["PART", "best_rate", "images_per_second", "measure_bare", "seconds_per_run"]

PART = "bare"
DEVICE, ARRAYS = "device", "arrays"
_LEAST_RUNS = 2


def measure_bare(
    bundles: Mapping[Variant, Path], results: Results, *, provider: str, batches: Sequence[int], seconds: float
) -> None:
    """Measure every variant with every set of provider options."""
    for variant, bundle in bundles.items():
        try:
            isolated(check_provider, bundle, provider)
        except MeasurementError as error:
            results.omit(PART, f"{variant.name} on {provider}", error)
            continue
        for case in _cases(variant, provider):
            _measure(variant, bundle, case, results, batches=batches, seconds=seconds)
    if provider == "cpu":
        names = [name for name in LAYOUTS if name != "none"]
        results.omit(PART, f"options {', '.join(names)}; TF32", "the CPU provider has no such options")


def _cases(variant: Variant, provider: str) -> list[Case]:
    if provider == "cpu" or not variant.maps:
        return [default_case(provider)]
    maths = (False, True) if variant.precision == "fp32" else (False,)
    return [Case(provider, options, tf32) for tf32 in maths for options in LAYOUTS]


def _measure(
    variant: Variant, bundle: Path, case: Case, results: Results, *, batches: Sequence[int], seconds: float
) -> None:
    """Measure one variant and case in a process of its own, up to the first batch size that fails."""
    precision = f"{variant.precision}{' tf32' * case.tf32}"
    shown = {"precision": precision, "maps": "yes" if variant.maps else "no", "options": case.options}
    try:
        measured = isolated(measure_sizes, bundle, batches, case, seconds)
    except MeasurementError as error:
        results.omit(PART, f"{variant.name}, {precision}, {case.options}", error)
        return
    for batch, found in measured.items():
        if isinstance(found, str):
            results.omit(PART, f"{variant.name}, {precision}, {case.options}, batch {batch} and larger", found)
            continue
        for tensors, rate in found.items():
            results.add(PART, {**shown, "tensors": tensors, "batch": batch, "images_per_second": rate})


def measure_sizes(
    bundle: Path, batches: Sequence[int], case: Case, seconds: float
) -> dict[int, dict[str, float] | str]:
    """Return the rates for each batch size; the reason for the first that fails, after which CUDA may be unusable."""
    measured: dict[int, dict[str, float] | str] = {}
    for batch in sorted(batches):
        try:
            measured[batch] = images_per_second(bundle, batch, case, seconds)
        except Exception as error:  # noqa: BLE001 - whatever its class, it is the reason
            measured[batch] = f"{type(error).__name__}: {error}"
            break
    return measured


def images_per_second(bundle: Path, batch: int, case: Case, seconds: float) -> dict[str, float]:
    """Return the rate with tensors that stay on the device, and with arrays that are copied in and out."""
    with opened(bundle, batch, case) as model:
        session, parts = model.session, [model.part]

        def run() -> None:
            session.run(model.run_options)

        def copy_and_run() -> None:
            session.write(parts)
            session.run(model.run_options)
            session.read(model.outputs, batch)

        return {
            DEVICE: batch / seconds_per_run(run, seconds),
            ARRAYS: batch / seconds_per_run(copy_and_run, seconds),
        }


def seconds_per_run(run: Callable[[], Any], seconds: float) -> float:
    """Return the mean duration of a run over so many seconds, after one that is not measured."""
    run()
    runs, began = 0, time.perf_counter()
    while runs < _LEAST_RUNS or time.perf_counter() < began + seconds:
        run()
        runs += 1
    return (time.perf_counter() - began) / runs


def best_rate(results: Results, precision: str) -> float | None:
    """Return the highest rate of a precision with tensors on the device; None if it was not measured."""
    rows = [row for row in results.of(PART) if row["precision"] == precision and row["tensors"] == DEVICE]
    return max((row["images_per_second"] for row in rows if row["maps"] == "yes"), default=None)
