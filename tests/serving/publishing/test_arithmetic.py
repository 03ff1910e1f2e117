"""The tolerance of a server's answers follows the arithmetic that was chosen for it."""

from __future__ import annotations

from dataclasses import replace
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
from camserve.golden import compare, read_golden, tolerance_of
from camserve.serving import publish
from camserve.serving.config.message import CONFIG_NAME, build_config
from camserve.serving.config.named_options import make_options
from camserve.serving.live.backend_messages import Execution
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.arithmetic import TF32_TOLERANCE, Arithmetic, arithmetic_warnings

_GPU, _CPU = model_config_pb2.ModelInstanceGroup.KIND_GPU, model_config_pb2.ModelInstanceGroup.KIND_CPU


def _config(bundle: Bundle, *, kind: int | None = None, backend: Any = "onnxruntime", **options: Any) -> Any:
    """Build a configuration; with `kind` as a server reports it."""
    config = build_config(bundle.contract, bundle.labels, make_options(options), backend=backend)
    if kind is not None:
        config.instance_group[0].kind = kind
    return config


@pytest.mark.parametrize(
    ("options", "kind", "provider", "tolerance"),
    [
        ({}, _CPU, None, 1e-4),
        ({"gpu_math": "tf32"}, _CPU, None, 1e-4),
        ({"gpu_math": "tf32"}, _GPU, "CPU", 1e-4),
        ({"accelerator": "none"}, None, None, 1e-4),
        ({}, _GPU, None, 1e-4),
        ({"accelerator": "cuda"}, None, "CUDA", 1e-4),
        ({"gpu_math": "tf32"}, _GPU, None, 1e-2),
        ({"accelerator": "cuda", "gpu_math": "tf32"}, None, "CUDA", 1e-2),
        ({"accelerator": "cuda", "gpu_math": "unset"}, None, None, 1e-2),
        ({"accelerator": "cuda", "gpu_math": "unset"}, None, "CUDA", 1e-4),
        ({"gpu_math": "unset"}, None, None, 1e-2),
        ({"accelerator": "cuda", "backend": "tensorflow"}, None, None, 1e-2),
        ({"accelerator": "cuda", "backend": "tensorflow"}, None, "CUDA", 1e-4),
        ({"accelerator": "cuda", "backend": "tensorflow", "gpu_math": "unset"}, None, "CUDA", 1e-2),
        ({"accelerator": "tensorrt"}, None, None, 2e-2),
        ({"accelerator": "openvino"}, None, None, 2e-2),
        ({"accelerator": "openvino"}, None, "CPU", 1e-4),
    ],
)
def test_the_tolerance_of_float32_follows_the_arithmetic(
    toy_bundle: Bundle, options: dict[str, Any], kind: int | None, provider: str | None, tolerance: float
) -> None:
    arithmetic = Arithmetic(_config(toy_bundle, kind=kind, **options), "fp32", provider)
    assert arithmetic.tolerance(1e-4) == tolerance
    assert arithmetic.tolerance(0.25) == 0.25


def test_tritons_own_openvino_backend_is_named_where_it_computes_otherwise(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator="none", backend="openvino")
    hint = Arithmetic(config, "fp32").hint(as_tf32=False)
    assert hint is not None
    assert "camserve repository backend --backend openvino" in hint
    assert Arithmetic(config, "bf16").hint(as_tf32=False) is None
    assert Arithmetic(config, "fp32", "CPU").hint(as_tf32=False) is None
    assert Arithmetic(config, "fp32").tolerance(1e-4) == 1e-4


@pytest.mark.parametrize("math", ["float32", "tf32", "unset"])
def test_lower_precisions_do_not_depend_on_tf32(toy_bundle: Bundle, math: str) -> None:
    config = _config(toy_bundle, accelerator="cuda", gpu_math=math)
    assert Arithmetic(config, "fp16").tolerance(1e-2) == 1e-2
    assert Arithmetic(config, "int8").tolerance(5e-2) == 5e-2


def test_a_configuration_without_instances_may_use_a_gpu(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle)
    config.ClearField("instance_group")
    config.ClearField("optimization")
    assert Arithmetic(config, "fp32").tolerance(1e-4) == 1e-2


@pytest.mark.parametrize(
    ("tolerance", "logits", "maps"),
    [(TF32_TOLERANCE, 1.1e-3, 1.9e-3), (tolerance_of("fp16"), 9e-4, 2.4e-3), (tolerance_of("fp32"), 9e-7, 2e-6)],
)
def test_the_differences_of_a_gpu_are_accepted_with_room(
    toy_bundle: Bundle, tolerance: float, logits: float, maps: float
) -> None:
    golden = read_golden(toy_bundle.path / "golden.npz", toy_bundle.contract)

    def faults(times: float) -> tuple[str, ...]:
        """Compare with answers that differ by a multiple of what was measured on an H100."""
        differences = {"logits": times * logits, "cam": times * maps, "probabilities": times * maps}
        changed = {
            name: answer + np.float32(differences.get(name, 0) * np.abs(answer).max())
            if name in differences
            else answer
            for name, answer in golden.answers.items()
        }
        return compare(golden, toy_bundle.contract, changed, tolerance=tolerance)

    assert faults(3) == ()
    assert faults(100)


@pytest.mark.parametrize(
    ("options", "precision", "told"),
    [
        ({}, "fp32", ()),
        ({}, "fp16", ()),
        ({"accelerator": "none"}, "int8", ()),
        ({"accelerator": "tensorrt", "tensorrt_precision": "fp16"}, "fp32", ()),
        ({}, "int8", ("--accelerator none or --accelerator tensorrt",)),
        ({"accelerator": "cuda"}, "int8", ("--accelerator none or --accelerator tensorrt",)),
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
    assert "--gpu-math tf32" in str(Arithmetic(on_gpu, "fp32").hint(as_tf32=True))
    assert Arithmetic(on_gpu, "fp32").hint(as_tf32=False) is None
    assert "--accelerator tensorrt" in str(Arithmetic(on_gpu, "int8").hint(as_tf32=False))
    assert Arithmetic(on_cpu, "fp32").hint(as_tf32=True) is None


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
    reported, execution = LiveServer.config, LiveServer.execution

    def on_a_gpu(server: LiveServer, model: str) -> Any:
        config = reported(server, model)
        config.instance_group[0].kind = _GPU
        return config

    def of_a_gpu(server: LiveServer, *model: Any) -> Execution:
        return replace(execution(server, *model), provider="CUDA")

    with DisposableServer(root, model_control="explicit") as server:
        with pytest.raises(ServerError, match=r"logits of image \d differs by .*, tolerance"):
            publish(bundle, root, url=server.grpc_url, options={"gpu_math": "tf32"})
        monkeypatch.setattr(LiveServer, "config", on_a_gpu)
        monkeypatch.setattr(LiveServer, "execution", of_a_gpu)
        with pytest.raises(ServerError, match=r"logits of image \d differs by .*accept it with --gpu-math tf32"):
            publish(bundle, root, url=server.grpc_url)
        accepted = publish(bundle, root, url=server.grpc_url, options={"gpu_math": "tf32"})
    assert "gpu_math tf32" in accepted.warnings[0]
