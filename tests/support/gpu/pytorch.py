"""Images per second of PyTorch: ResNet50, channels last, eager and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from support.gpu.bare import seconds_per_run
from support.gpu.isolation import MeasurementError, isolated
from support.gpu.results import Results

__all__ = ["PART", "measure_pytorch"]

PART = "pytorch"
MODES = ("eager", "compile")


@dataclass(frozen=True)
class Case:
    """A precision, a mode, and whether float32 is multiplied in TF32."""

    precision: str
    mode: str
    tf32: bool


def measure_pytorch(
    results: Results, *, provider: str, precisions: Sequence[str], batches: Sequence[int], side: int, seconds: float
) -> None:
    """Measure each precision in each mode."""
    if find_spec("torch") is None:
        results.omit(PART, "all", "PyTorch is not installed")
        return
    for precision in precisions:
        reason = _obstacle(precision, provider)
        if reason:
            results.omit(PART, precision, reason)
            continue
        for tf32 in (False, True) if precision == "fp32" and provider == "cuda" else (False,):
            for mode in MODES:
                case = Case(precision, mode, tf32)
                shown = {"precision": f"{precision}{' tf32' * tf32}", "mode": mode}
                try:
                    rates = isolated(
                        rates_by_batch, case, provider=provider, batches=batches, side=side, seconds=seconds
                    )
                except MeasurementError as error:
                    results.omit(PART, f"{shown['precision']}, {mode}", error)
                    continue
                for batch, rate in rates.items():
                    results.add(PART, {**shown, "batch": batch, "images_per_second": rate})


def _obstacle(precision: str, provider: str) -> str | None:
    if precision == "int8":
        return "the network in PyTorch is not quantized"
    return "measured only on CUDA" if precision == "fp16" and provider == "cpu" else None


def rates_by_batch(case: Case, *, provider: str, batches: Sequence[int], side: int, seconds: float) -> dict[int, float]:
    """Return images per second for each batch size; the images are on the device.

    Raises:
        MeasurementError: If PyTorch has no CUDA.
    """
    import torch
    from support.gpu.resnet import resnet50

    if provider == "cuda" and not torch.cuda.is_available():
        raise MeasurementError("this PyTorch has no usable CUDA")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    torch.backends.cudnn.benchmark = True
    dtype = torch.float16 if case.precision == "fp16" else torch.float32
    network = resnet50().eval().to(provider, dtype, memory_format=torch.channels_last)
    if case.mode == "compile":
        network.compile(mode="reduce-overhead" if provider == "cuda" else None)
    rates = {}
    for batch in batches:
        images = torch.rand(batch, 3, side, side).to(provider, dtype, memory_format=torch.channels_last)

        def run(images: torch.Tensor = images) -> None:
            network(images)
            if provider == "cuda":
                torch.cuda.synchronize()

        with torch.inference_mode():
            for _ in range(3):
                run()
            rates[batch] = batch / seconds_per_run(run, seconds)
    return rates
