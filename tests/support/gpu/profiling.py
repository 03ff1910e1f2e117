"""Where the time of a batch goes: steps of the backend, and operators of ONNX Runtime."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from support.gpu.bundles import Variant
from support.gpu.isolation import MeasurementError, isolated
from support.gpu.results import Results
from support.gpu.sessions import Case, default_case, opened, profiled

from camserve.serving.backends.camserve_backend.batches import split
from camserve.text import count

__all__ = ["OPERATORS", "STEPS", "measure_profile"]

STEPS, OPERATORS = "steps", "operators"
_MOST_OPERATORS = 12
_ROUNDS, _PROFILED_RUNS = 15, 10


def measure_profile(
    bundles: Mapping[Variant, Path], results: Results, *, provider: str, batches: Sequence[int], folder: Path
) -> None:
    """Profile each precision; ONNX Runtime's own profiles are written into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant, bundle in bundles.items():
        case = _usable_case(variant, bundle, provider, results) if variant.maps else None
        if case is None:
            continue
        shown = {"precision": variant.precision, "options": case.options}
        for batch in batches:
            for requests in sorted({1, batch}):
                try:
                    row = isolated(step_times, bundle, batch, requests, case)
                except MeasurementError as error:
                    results.omit(STEPS, f"{variant.name}, batch {batch} of {count(requests, 'request')}", error)
                    continue
                results.add(STEPS, {**shown, "batch": batch, "requests": requests, **row})
        _profile(variant, bundle, results, batch=max(batches), case=case, folder=folder)


def _usable_case(variant: Variant, bundle: Path, provider: str, results: Results) -> Case | None:
    """Return the options that the backend prefers or, if the network does not run with them, none; None if neither."""
    for case in dict.fromkeys((default_case(provider), Case(provider))):
        try:
            isolated(step_times, bundle, 1, 1, case)
        except MeasurementError as error:
            results.omit("profile", f"{variant.name}, options {case.options}", error)
        else:
            return case
    return None


def step_times(bundle: Path, batch: int, requests: int, case: Case) -> dict[str, float]:
    """Return the medians, in ms, of what the backend does with a batch of several requests."""
    with opened(bundle, batch, case) as model:
        rows = batch // requests
        name, images = next(iter(model.part.items()))
        parts = [{name: images[place * rows : (place + 1) * rows]} for place in range(requests)]
        arrays: list[Any] = []
        steps: dict[str, Callable[[], object]] = {
            "join_and_copy_in_ms": lambda: model.session.write(parts),
            "run_ms": lambda: model.session.run(model.run_options),
            "copy_out_ms": lambda: arrays.extend(model.session.read(model.outputs, batch)),
            "split_ms": lambda: [split(array, [rows] * requests) for array in arrays],
        }
        taken: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(_ROUNDS):
            arrays.clear()
            for step, act in steps.items():
                began = time.perf_counter()
                act()
                taken[step].append(time.perf_counter() - began)
        return {step: median(times) * 1e3 for step, times in taken.items()}


def _profile(variant: Variant, bundle: Path, results: Results, *, batch: int, case: Case, folder: Path) -> None:
    try:
        path = isolated(write_profile, bundle, batch, case, folder / f"{variant.name}-batch-{batch}")
    except MeasurementError as error:
        results.omit(OPERATORS, variant.name, error)
        return
    shown = {"precision": variant.precision, "options": case.options, "batch": batch}
    for row in summarize(json.loads(Path(path).read_text(encoding="utf-8")), _PROFILED_RUNS):
        results.add(OPERATORS, {**shown, **row})


def write_profile(bundle: Path, batch: int, case: Case, prefix: Path) -> str:
    """Run a batch some times with ONNX Runtime's profiler, and return the path of its JSON file."""
    with profiled(bundle, batch, case, prefix) as (session, inputs):
        for _ in range(_PROFILED_RUNS + 1):
            session.run(None, inputs)
        path: str = session.end_profiling()
    return path


def summarize(events: Sequence[Mapping[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Return time and number of calls per run, by provider and operator, the slowest first.

    The first run, which plans, is not counted. On a GPU the time of an operator is that of its launch; its kernels, if
    the profile has them, are counted apart.
    """
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    planned = min((event["ts"] + event["dur"] for event in events if event["name"] == "model_run"), default=0)
    for event in events:
        if event["ts"] < planned:
            continue
        details = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[details.get("provider", "").removesuffix("ExecutionProvider"), details["op_name"]].append(
                event["dur"]
            )
        elif event.get("cat") == "Kernel":
            times["kernel", event["name"]].append(event["dur"])
    whole = sum(sum(each) for each in times.values()) or 1.0
    ordered = sorted(times.items(), key=lambda item: -sum(item[1]))
    return [
        {
            "provider": provider,
            "operator": operator,
            "calls": round(len(taken) / runs),
            "ms": sum(taken) / runs / 1e3,
            "share": sum(taken) / whole,
        }
        for (provider, operator), taken in ordered[:_MOST_OPERATORS]
    ]
