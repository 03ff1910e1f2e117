"""Images per second and latencies of the embedded Triton, and where it spends the time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton
from support.gpu.bare import best_rate
from support.gpu.bundles import Variant
from support.gpu.isolation import MeasurementError
from support.gpu.load import ClientLoad, Measured, Target, apply_load
from support.gpu.results import Results

from camserve.bundle import load_bundle
from camserve.cores import host_cores
from camserve.errors import CamserveError
from camserve.serving import TritonServer, publish
from camserve.serving.config.presets import HostProfile, preset_options
from camserve.text import count

__all__ = ["PART", "measure_served"]

PART = "served"
MODEL = "network"
OUTPUTS = ("probabilities", "cam", "cam_class")
TRANSPORTS = {"gRPC": False, "shared memory": True}
_STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


def measure_served(
    bundles: Mapping[Variant, Path],
    results: Results,
    *,
    provider: str,
    batches: Sequence[int],
    instances: Sequence[int],
    loads: Sequence[ClientLoad],
    seconds: float,
) -> None:
    """Measure every precision with each number of instances under every load."""
    for variant, bundle in bundles.items():
        for number in instances if variant.maps else ():
            what = f"{variant.name}, {count(number, 'instance')}"
            try:
                with _server(bundle, provider, batches, number) as server:
                    _measure(
                        _target(server.grpc_url, bundle),
                        results,
                        precision=variant.precision,
                        instances=number,
                        loads=loads,
                        seconds=seconds,
                    )
            except CamserveError as error:
                results.omit(PART, what, error.message)


@contextmanager
def _server(bundle: Path, provider: str, batches: Sequence[int], instances: int) -> Iterator[TritonServer]:
    cores = host_cores()
    options: dict[str, Any]
    if provider == "cuda":
        host = HostProfile(cores, load_bundle(bundle).report.get("precision", "fp32"), largest_batch=max(batches))
        options = {**preset_options("gpu", host), "batch_sizes": tuple(sorted(batches))}
    else:
        options = {"accelerator": "none", "threads": max(1, cores // instances), "max_batch_size": max(batches)}
    with tempfile.TemporaryDirectory() as folder:
        publish(bundle, Path(folder), name=MODEL, options={**options, "instances": instances})
        with TritonServer(folder, allow_shared_memory=True, start_timeout=600) as server:
            yield server


def _target(url: str, bundle: Path) -> Target:
    contract = load_bundle(bundle).contract
    found = [contract.output(name) for name in OUTPUTS]
    outputs = tuple((each.name, math.prod(each.shape), each.dtype) for each in found if each is not None)
    return Target(url, MODEL, contract.input.shape, contract.input.dtype, outputs)


def _measure(
    target: Target,
    results: Results,
    *,
    precision: str,
    instances: int,
    loads: Sequence[ClientLoad],
    seconds: float,
) -> None:
    bare = best_rate(results, precision)
    for load in loads:
        for transport, shared in TRANSPORTS.items():
            before = _statistics(target)
            try:
                measured = apply_load(target, load, seconds=seconds, warm_up=seconds / 2, shared_memory=shared)
            except MeasurementError as error:
                results.omit(PART, f"{precision}, {count(instances, 'instance')}, {load}, {transport}", error)
                continue
            shown = {"precision": precision, "instances": instances, "images": load.images}
            shown |= {"at_once": load.at_once, "processes": load.processes, "transport": transport}
            results.add(PART, {**shown, **_row(measured, bare), **_stages(before, _statistics(target))})


def _row(measured: Measured, bare: float | None) -> dict[str, Any]:
    return {
        "images_per_second": measured.rate,
        "p50_ms": measured.percentile_ms(50),
        "p99_ms": measured.percentile_ms(99),
        "of_bare": measured.rate / bare if bare else None,
    }


def _statistics(target: Target) -> dict[str, float]:
    """Return what Triton counts, cumulative: requests, batches, images, and nanoseconds of each stage."""
    client: Any = triton.InferenceServerClient(target.url)
    try:
        stats = client.get_inference_statistics(target.model).model_stats[0]
    finally:
        client.close()
    inference = stats.inference_stats
    counted = {stage: float(getattr(inference, stage).ns) for stage in _STAGES}
    return {
        **counted,
        "requests": float(inference.success.count),
        "batches": float(stats.execution_count),
        "inferences": float(stats.inference_count),
    }


def _stages(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return milliseconds of a request in each stage, and images in a batch, between two readings."""
    change = {name: after[name] - before[name] for name in after}
    requests, batches = max(1.0, change["requests"]), max(1.0, change["batches"])
    stages = {f"{stage}_ms": change[stage] / requests / 1e6 for stage in _STAGES}
    return {**stages, "images_in_a_batch": change["inferences"] / batches}
