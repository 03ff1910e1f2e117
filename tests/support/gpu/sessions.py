"""Sessions of ONNX Runtime as camserve's backend creates them, for one batch size each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf.json_format import MessageToDict
from support.gpu.isolation import MeasurementError
from support.model_folder import toy_config

from camserve.bundle import ONNX_NAME, load_bundle
from camserve.serving.backends.camserve_backend.bound_session import BoundSession
from camserve.serving.backends.camserve_backend.cuda_graphs import Attempt
from camserve.serving.backends.camserve_backend.onnx_providers import CUDA, Provider
from camserve.serving.backends.camserve_backend.onnx_sessions import SessionFactory
from camserve.serving.backends.camserve_backend.onnx_settings import session_settings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError
from camserve.serving.backends.camserve_backend.provider_choice import choose_providers, open_session

__all__ = ["LAYOUTS", "Case", "Opened", "check_provider", "default_case", "opened", "profiled"]

_GRAPH = "enable_cuda_graph"
_GRAPH_RUNS = 3  # one plans the memory, one is recorded, one is replayed
_OFF = {"prefer_nhwc": "0", "fuse_conv_bias": "0", _GRAPH: "0"}
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "none": _OFF,
    "nhwc": {**_OFF, "prefer_nhwc": "1"},
    "nhwc graph": {**_OFF, "prefer_nhwc": "1", _GRAPH: "1"},
    "nhwc fused": {**_OFF, "prefer_nhwc": "1", "fuse_conv_bias": "1"},
    "nhwc fused graph": {"prefer_nhwc": "1", "fuse_conv_bias": "1", _GRAPH: "1"},
}
"""Options of the CUDA provider, by the name of their row; the last are those of camserve's backend."""


@dataclass(frozen=True)
class Case:
    """What a session is created with.

    Attributes:
        provider: `cpu` or `cuda`.
        options: Name of the provider options, in `LAYOUTS`; only `none` on the CPU.
        tf32: Whether float32 is multiplied in TF32.
        graph: Whether CUDA graphs may be recorded.
    """

    provider: str
    options: str = "none"
    tf32: bool = False
    graph: bool = True


@dataclass(frozen=True)
class Opened:
    """A session for one batch size that has run, its input, and the names of its outputs."""

    session: BoundSession
    images: Any
    part: Mapping[str, Any]
    outputs: Sequence[str]
    run_options: Any


def default_case(provider: str) -> Case:
    """Return the case that camserve's backend chooses by itself."""
    return Case(provider, "none" if provider == "cpu" else list(LAYOUTS)[-1])


def check_provider(bundle: Path, provider: str) -> None:
    """Check that a provider can be used.

    Raises:
        MeasurementError: If it cannot.
    """
    _providers(_config(bundle, 1, provider), Case(provider))


def _providers(config: Mapping[str, Any], case: Case) -> tuple[Provider, ...]:
    """Return the execution providers with their options.

    Raises:
        MeasurementError: If one cannot be used.
    """
    try:
        choice = choose_providers(config, kind="GPU" if case.provider == "cuda" else "CPU", device="0")
    except ModelRefusedError as error:
        raise MeasurementError(str(error)) from None
    return tuple(
        (
            name,
            {
                **options,
                **LAYOUTS[case.options],
                "use_tf32": str(int(case.tf32)),
                **({} if case.graph else {_GRAPH: "0"}),
            },
        )
        if name == CUDA
        else (name, options)
        for name, options in choice.providers
    )


@contextmanager
def opened(bundle: Path, batch: int, case: Case) -> Iterator[Opened]:
    """Create a session for a batch size, with inputs and outputs bound to memory of the device, and run it.

    Raises:
        MeasurementError: If the provider cannot be used.
        ModelRefusedError: If ONNX Runtime cannot create the session.
        Exception: If it cannot run it.
    """
    contract = load_bundle(bundle).contract
    config = _config(bundle, batch, case.provider)
    factory = SessionFactory(bundle / ONNX_NAME, session_settings(config))
    attempt = Attempt(_providers(config, case))
    names = factory.describe(attempt.providers).batch_names
    created = factory.create(attempt.providers, dimensions=dict.fromkeys(names, batch))
    session = BoundSession(created, batch, config, device=attempt.device, index=attempt.index)
    dtype = np.uint8 if contract.input.dtype == "UINT8" else np.float32
    images = np.random.default_rng(0).integers(0, 256, (batch, *contract.input.shape)).astype(dtype)
    part = {contract.input.name: images}
    session.write([part])
    if attempt.graphs:  # the first run plans the convolutions, and must not be recorded
        session.run(factory.run_options({"gpu_graph_id": "-1"}))
    run_options = factory.run_options({"gpu_graph_id": "0"})
    for _ in range(_GRAPH_RUNS):
        session.run(run_options)
    yield Opened(session, images, part, [output.name for output in contract.outputs], run_options)


@contextmanager
def profiled(bundle: Path, batch: int, case: Case, prefix: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Create a session with ONNX Runtime's profiler and without a CUDA graph, which would hide the operators.

    Yields:
        The session, and inputs for it.
    """
    contract = load_bundle(bundle).contract
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    providers = _providers(_config(bundle, batch, case.provider), replace(case, graph=False))
    session = open_session(str(bundle / ONNX_NAME), options, providers)
    images = np.zeros((batch, *contract.input.shape), np.uint8 if contract.input.dtype == "UINT8" else np.float32)
    yield session, {contract.input.name: images}


def _config(bundle: Path, batch: int, provider: str) -> dict[str, Any]:
    loaded = load_bundle(bundle)
    options: dict[str, Any] = {"accelerator": "none", "max_batch_size": batch, "batch_sizes": (batch,)}
    if provider == "cuda":
        options |= {"accelerator": "cuda", "cudnn_conv_algo_search": "heuristic"}  # as in the preset gpu
    config: dict[str, Any] = MessageToDict(toy_config(loaded, options=options), preserving_proto_field_name=True)
    return config
