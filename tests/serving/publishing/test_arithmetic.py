"""The tolerance of a server's answers follows the arithmetic that was chosen for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.disposable_server import DisposableServer
from support.toy import write_toy_bundle
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import publish
from camserve.serving.config.message import CONFIG_NAME, build_config
from camserve.serving.config.named_options import make_options
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.arithmetic import arithmetic_warnings, difference_hint, served_tolerance

_GPU, _CPU = model_config_pb2.ModelInstanceGroup.KIND_GPU, model_config_pb2.ModelInstanceGroup.KIND_CPU


def _config(bundle: Bundle, *, kind: int | None = None, backend: Any = "onnxruntime", **options: Any) -> Any:
    """Build a configuration; with `kind` as a server reports it."""
    config = build_config(bundle.contract, bundle.labels, make_options(options), backend=backend)
    if kind is not None:
        config.instance_group[0].kind = kind
    return config


@pytest.mark.parametrize(
    ("options", "kind", "tolerance"),
    [
        ({}, _CPU, 1e-4),
        ({"gpu_math": "tf32"}, _CPU, 1e-4),
        ({"accelerator": "none"}, None, 1e-4),
        ({}, _GPU, 1e-4),
        ({"accelerator": "cuda"}, None, 1e-4),
        ({"gpu_math": "tf32"}, _GPU, 1e-2),
        ({"accelerator": "cuda", "gpu_math": "unset"}, None, 1e-2),
        ({"gpu_math": "unset"}, None, 1e-2),
        ({"accelerator": "cuda", "backend": "tensorflow"}, None, 1e-2),
        ({"accelerator": "tensorrt"}, None, 2e-2),
        ({"accelerator": "openvino"}, None, 2e-2),
    ],
)
def test_the_tolerance_of_float32_follows_the_arithmetic(
    toy_bundle: Bundle, options: dict[str, Any], kind: int | None, tolerance: float
) -> None:
    config = _config(toy_bundle, kind=kind, **options)
    assert served_tolerance(config, precision="fp32", exported=1e-4) == tolerance
    assert served_tolerance(config, precision="fp32", exported=0.25) == 0.25


@pytest.mark.parametrize("math", ["float32", "tf32", "unset"])
def test_lower_precisions_do_not_depend_on_tf32(toy_bundle: Bundle, math: str) -> None:
    config = _config(toy_bundle, accelerator="cuda", gpu_math=math)
    assert served_tolerance(config, precision="fp16", exported=1e-2) == 1e-2
    assert served_tolerance(config, precision="int8", exported=5e-2) == 5e-2


def test_a_configuration_without_instances_may_use_a_gpu(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle)
    config.ClearField("instance_group")
    config.ClearField("optimization")
    assert served_tolerance(config, precision="fp32", exported=1e-4) == 1e-2


@pytest.mark.parametrize(
    ("options", "precision", "told"),
    [
        ({}, "fp32", ()),
        ({}, "fp16", ()),
        ({"accelerator": "none"}, "int8", ()),
        ({"accelerator": "tensorrt", "tensorrt_precision": "fp16"}, "fp32", ()),
        ({}, "int8", ("--accelerator none or --accelerator tensorrt",)),
        ({"gpu_math": "tf32"}, "fp32", ("2.3e-3 (probabilities)",)),
        ({"gpu_math": "tf32"}, "fp16", ()),
        ({"gpu_math": "unset", "accelerator": "cuda"}, "fp32", ("--gpu-math float32",)),
    ],
)
def test_what_costs_accuracy_is_told(
    toy_bundle: Bundle, options: dict[str, Any], precision: str, told: tuple[str, ...]
) -> None:
    warnings = arithmetic_warnings(_config(toy_bundle, **options), precision=precision)
    assert len(warnings) == len(told)
    assert all(part in warning for part, warning in zip(told, warnings, strict=True))


def test_models_of_earlier_versions_are_told(toy_bundle: Bundle) -> None:
    earlier = _config(toy_bundle)
    earlier.ClearField("optimization")
    del earlier.parameters["cpu_fallback"]
    warnings = " ".join(arithmetic_warnings(earlier, precision="fp32"))
    assert "--gpu-math float32" in warnings
    assert "--set cpu_fallback=on" in warnings


def test_hints_name_the_option_that_accepts_the_difference(toy_bundle: Bundle) -> None:
    on_gpu, on_cpu = _config(toy_bundle, kind=_GPU), _config(toy_bundle, kind=_CPU)
    assert "--gpu-math tf32" in str(difference_hint(on_gpu, precision="fp32", as_tf32=True))
    assert difference_hint(on_gpu, precision="fp32", as_tf32=False) is None
    assert "--accelerator tensorrt" in str(difference_hint(on_gpu, precision="int8", as_tf32=False))
    assert difference_hint(on_cpu, precision="fp32", as_tf32=True) is None


@pytest.mark.slow
def test_a_deviation_of_a_thousandth_passes_only_as_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, root = write_toy_bundle(tmp_path / "bundle"), tmp_path / "repository"
    publish(bundle, root)
    stale = onnx.load(bundle.path / "model.onnx")
    kernel = next(tensor for tensor in stale.graph.initializer if tensor.name == "kernel")
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * np.float32(1.001), "kernel"))
    onnx.save(stale, root / "toy" / "stale.onnx")
    path = root / "toy" / CONFIG_NAME
    path.write_text(path.read_text().replace('"model.onnx"', '"../stale.onnx"'))
    reported = LiveServer.config

    def on_a_gpu(server: LiveServer, model: str) -> Any:
        config = reported(server, model)
        config.instance_group[0].kind = _GPU
        return config

    with DisposableServer(root, model_control="explicit") as server:
        with pytest.raises(ServerError, match=r"logits of image \d differs by .*, tolerance"):
            publish(bundle, root, url=server.grpc_url, options={"gpu_math": "tf32"})
        monkeypatch.setattr(LiveServer, "config", on_a_gpu)
        with pytest.raises(ServerError, match=r"logits of image \d differs by .*accept it with --gpu-math tf32"):
            publish(bundle, root, url=server.grpc_url)
        accepted = publish(bundle, root, url=server.grpc_url, options={"gpu_math": "tf32"})
    assert "gpu_math tf32" in accepted.warnings[0]
