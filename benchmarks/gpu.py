"""Speed of ResNet50 on a GPU: ONNX Runtime without a server, through Triton, and PyTorch, in one run.

    python benchmarks/gpu.py [PART ...] [--out FILE.json] [--profile DIR]    on a host with a GPU; needs no network
    python benchmarks/gpu.py --export --bundles DIR          on a host with TensorFlow, if the GPU host has none
    python benchmarks/gpu.py --provider cpu --quick          everything that runs without a GPU, with a tiny network

PART is one or more of: bare, served, pytorch (default: all). The weights are random. `bare` measures every set of
options of the CUDA provider, with tensors that stay on the device and with arrays that are copied in and out. `served`
measures the embedded Triton over gRPC and over system shared memory, with clients in processes of their own. What
cannot run is listed with its reason. `--profile` writes where the time of a batch goes, and ONNX Runtime's own profiles
into DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.gpu import bare, profiling, pytorch, served
from support.gpu.bundles import Variant, find_bundles, variants
from support.gpu.load import ClientLoad
from support.gpu.report import render
from support.gpu.results import Results

from camserve.choices import PRECISIONS

T = TypeVar("T")
PARTS = (bare.PART, served.PART, pytorch.PART)
PROFILE = "profile"
PACKAGES = ("onnxruntime-gpu", "onnxruntime", "torch", "nvidia-pytriton", "tritonclient", "numpy")
GPU_QUERY = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
FULL = {
    "source": "resnet50",
    "batches": (1, 8, 32, 128),
    "precisions": ("fp32", "fp16", "int8"),
    "instances": (1, 2),
    "loads": "1x1x1,1x128x8,8x64x8,32x32x8,128x12x4",
    "seconds": 1.0,
    "load_seconds": 4.0,
}
QUICK = {
    "source": "resnet-mini",
    "batches": (1, 8),
    "precisions": ("fp32", "fp16", "int8"),
    "instances": (1,),
    "loads": "1x1x1,8x4x2",
    "seconds": 0.2,
    "load_seconds": 0.5,
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    arguments = parse(words)
    results = Results(describe_host(arguments), lambda line: report_progress(line, results, arguments.out))
    with ExitStack() as stack:
        folder = arguments.bundles or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bundles = find_bundles(variants(arguments.precisions), folder, arguments.source, results)
        if not arguments.export:
            measure(arguments, bundles, results)
    print(render(results))


def report_progress(line: str, results: Results, out: Path | None) -> None:
    """Print a line, and write what was measured so far, which remains if the program is ended early."""
    print(line, file=sys.stderr, flush=True)
    if out is not None:
        out.write_text(json.dumps(results.document(), indent=1), encoding="utf-8")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda", help="(default: cuda)")
    parser.add_argument("--quick", action="store_true", help="a tiny network, few sizes and short measurements")
    parser.add_argument("--bundles", type=Path, metavar="DIR", help="folder of the exported networks, used again")
    parser.add_argument("--export", action="store_true", help="export what is missing in --bundles, and end")
    parser.add_argument("--source", help="network to export (default: resnet50)")
    parser.add_argument("--precisions", type=separated(precision), help="(default: fp32,fp16,int8)")
    parser.add_argument("--batches", type=separated(positive), help="batch sizes (default: 1,8,32,128)")
    parser.add_argument("--instances", type=separated(positive), help="instances of the served model (default: 1,2)")
    parser.add_argument(
        "--loads",
        type=separated(client_load),
        metavar="IMAGESxATONCExPROCESSES,...",
        help=f"images per request, concurrent requests, client processes (default: {FULL['loads']})",
    )
    parser.add_argument("--seconds", type=float, help="duration of each bare measurement (default: 1)")
    parser.add_argument("--load-seconds", type=float, help="duration of each load (default: 4)")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="profile the backend's steps and the operators")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results as JSON")
    arguments = parser.parse_args(words)
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    if arguments.export and arguments.bundles is None:
        parser.error("--export needs a folder: --export --bundles DIR")
    for name, value in (QUICK if arguments.quick else FULL).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, separated(client_load)(str(value)) if name == "loads" else value)
    return arguments


def separated(parse_one: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return a parser of values that are separated by commas."""

    def values(text: str) -> tuple[T, ...]:
        return tuple(parse_one(part) for part in text.split(","))

    return values


def positive(text: str) -> int:
    """Parse a positive integer."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def precision(text: str) -> str:
    """Parse a precision; bf16 is one of CPUs."""
    known = [each for each in PRECISIONS if each != "bf16"]
    if text not in known:
        raise argparse.ArgumentTypeError(f"unknown precision {text!r}; choose from {', '.join(known)}")
    return text


def client_load(text: str) -> ClientLoad:
    """Parse a load such as `8x64x8`."""
    try:
        images, at_once, processes = (positive(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected IMAGESxATONCExPROCESSES such as 8x64x8, got {text!r}") from None
    return ClientLoad(images, at_once, processes)


def measure(arguments: argparse.Namespace, bundles: Mapping[Variant, Path], results: Results) -> None:
    """Measure the requested parts."""
    same: dict[str, Any] = {"provider": arguments.provider, "batches": arguments.batches}
    loads = {"instances": arguments.instances, "loads": arguments.loads, "seconds": arguments.load_seconds}
    network = {"precisions": arguments.precisions, "side": 64 if arguments.quick else 224}
    parts: dict[str, Callable[[], None]] = {
        bare.PART: lambda: bare.measure_bare(bundles, results, **same, seconds=arguments.seconds),
        served.PART: lambda: served.measure_served(bundles, results, **same, **loads),
        pytorch.PART: lambda: pytorch.measure_pytorch(results, **same, **network, seconds=arguments.seconds),
        PROFILE: lambda: profiling.measure_profile(bundles, results, **same, folder=arguments.profile),
    }
    requested = [*(arguments.parts or PARTS), *([PROFILE] if arguments.profile else [])]
    for part, run in parts.items():
        if part not in requested:
            results.omit(part, "all", "not requested")
            continue
        try:
            run()
        except Exception as error:  # noqa: BLE001 - the other parts can still be measured
            results.omit(part, "the rest", f"{type(error).__name__}: {error}")


def describe_host(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the results depend on."""
    try:
        gpu = subprocess.run(GPU_QUERY, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        gpu = "none (nvidia-smi reports no GPU)"
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "gpu": gpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
    }


def installed(package: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
