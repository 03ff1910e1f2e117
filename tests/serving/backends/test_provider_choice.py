"""The execution providers that instances can use, with the installed ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail
from support.libraries import library_that_requires
from support.toy import toy_images

from camserve.bundle import Bundle
from camserve.serving.backends.camserve_backend import provider_choice
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError
from camserve.serving.backends.camserve_backend.provider_choice import choose_providers, open_session

CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
FALLBACK = {"parameters": {"cpu_fallback": {"string_value": "1"}}}
VERSION = onnxruntime.__version__

without_cuda = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="this onnxruntime is built with CUDA"
)


def _accelerated(kind: str, name: str) -> dict[str, Any]:
    return {"optimization": {"execution_accelerators": {f"{kind}_execution_accelerator": [{"name": name}]}}}


def _refusal(config: dict[str, Any]) -> str:
    with pytest.raises(ModelRefusedError) as caught:
        choose_providers(config, kind="GPU", device="0")
    return str(caught.value)


def _pretend(monkeypatch: pytest.MonkeyPatch, *providers: str) -> None:
    """Let ONNX Runtime have other providers, and the host a driver."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*providers, CPU[0]])
    monkeypatch.setattr(provider_choice, "driver_obstacle", lambda: None)


def test_a_cpu_instance_uses_only_the_cpu() -> None:
    choice = choose_providers(_accelerated("gpu", "cuda"), kind="CPU", device="0")
    assert (choice.providers, choice.warnings, choice.label) == ((CPU,), (), "CPU")


@without_cuda
def test_a_gpu_instance_without_cuda_is_refused() -> None:
    assert _refusal({}) == (
        f"a GPU instance requires the CUDA provider of ONNX Runtime, but onnxruntime {VERSION} is installed, which is "
        "built without CUDA; hint: Replace it: pip uninstall --yes onnxruntime && pip install 'camserve[server-gpu]'"
    )


@without_cuda
def test_an_instance_may_fall_back_to_the_cpu() -> None:
    choice = choose_providers(FALLBACK, kind="GPU", device="0")
    assert (choice.providers, choice.label) == ((CPU,), "CPU")
    (warning,) = choice.warnings
    assert warning.startswith(f"runs on the CPU instead of the GPU, since onnxruntime {VERSION} is installed, which")


def test_tensorrt_is_not_replaced_by_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, CUDA)
    assert "requires the TensorRT provider of ONNX Runtime, but onnxruntime" in _refusal(
        _accelerated("gpu", "tensorrt")
    )


def test_a_fallback_uses_no_other_provider_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, CUDA)
    monkeypatch.setattr(provider_choice, "_gpu_obstacle", lambda _: None)
    monkeypatch.setattr(provider_choice, "load_problem", lambda _: None)
    choice = choose_providers({**FALLBACK, **_accelerated("gpu", "tensorrt")}, kind="GPU", device="0")
    assert choice.providers == (CPU,)
    (warning,) = choice.warnings
    assert warning.startswith(f"runs on the CPU instead of the GPU, since onnxruntime {VERSION} is installed, which")
    assert choose_providers(FALLBACK, kind="GPU", device="0").label == "CUDA"


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_the_missing_library_of_a_provider_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    _pretend(monkeypatch, CUDA, TENSORRT)
    name = f"libonnxruntime_providers_{'cuda' if provider == CUDA else 'tensorrt'}.so"
    _, missing = library_that_requires(tmp_path, name=name)
    monkeypatch.setattr(provider_choice, "_FOLDER", tmp_path)
    message = _refusal({} if provider == CUDA else _accelerated("gpu", "tensorrt"))
    assert f"{name} cannot be loaded: {missing} is missing" in message
    assert "; hint: Install CUDA's libraries: pip install 'camserve[server-gpu]'" in message


@pytest.mark.parametrize(
    ("failure", "command"),
    [
        ("CUDA failure 100: no CUDA-capable device is detected", "nvidia-smi"),
        (
            "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
            "pip install 'camserve[server-gpu]' 'onnxruntime-gpu<1.27'",
        ),
        (
            "CUDA failure 209: no kernel image is available for execution on the device",
            "pip install 'camserve[server-gpu]' 'onnxruntime-gpu<1.27'",
        ),
    ],
)
def test_a_gpu_that_cannot_be_used_is_refused_with_the_reason_of_cuda(
    monkeypatch: pytest.MonkeyPatch, failure: str, command: str
) -> None:
    _pretend(monkeypatch, CUDA)
    monkeypatch.setattr(provider_choice, "load_problem", lambda _: None)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            '/src/cuda_provider_info.cc:63 [ONNXRuntimeError] : 1 : FAIL : Parse Failed to parse "device_id": '
            f"{failure} ; GPU=-1 ; hostname=vm ; file=/src/info.cc ; line=70"
        )

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    message = _refusal({})
    assert f"but ONNX Runtime cannot use GPU 0: {failure.partition(': ')[2]}; hint: " in message
    assert message.endswith(f": {command}")


def test_preloading_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _pretend(monkeypatch, CUDA)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load"), raising=False)  # noqa: T201
    _refusal({})
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:Specified provider")
@without_cuda
def test_a_session_without_its_provider_is_an_error(toy_bundle: Bundle) -> None:
    with pytest.raises(RuntimeError, match="did not create the provider CUDA"):
        open_session(str(toy_bundle.onnx_path), None, [(CUDA, {}), CPU])
    assert open_session(str(toy_bundle.onnx_path), None, [CPU]).get_providers() == [CPU[0]]


def test_a_run_that_fails_does_not_move_to_the_cpu(toy_bundle: Bundle) -> None:
    session = open_session(str(toy_bundle.onnx_path), None, [CPU])

    class Failing:
        def __getattr__(self, name: str, inner: Any = session._sess) -> Any:
            return getattr(inner, name)

        def run(self, *_: Any) -> None:
            raise EPFail("CUDA failure 2: out of memory")

    session._sess = Failing()
    with pytest.raises(EPFail, match="out of memory"):
        session.run(None, {"image": toy_images(toy_bundle)})
    assert isinstance(session._sess, Failing)


def test_the_probe_computes() -> None:
    session = open_session(provider_choice._PROBE, None, [CPU])
    assert session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [2]


def test_a_gpu_is_refused_if_the_probe_does_not_run(toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, CUDA)
    monkeypatch.setattr(provider_choice, "load_problem", lambda _: None)
    other = str(toy_bundle.onnx_path)  # it can be opened, and not run with the input of the probe
    monkeypatch.setattr(provider_choice, "open_session", lambda *_: open_session(other, None, [CPU]))
    assert "but ONNX Runtime cannot use GPU 0: Required inputs (['image']) are missing" in _refusal({})


@pytest.mark.skipif("OpenVINOExecutionProvider" in onnxruntime.get_available_providers(), reason="it has OpenVINO")
def test_missing_openvino_is_warned_about() -> None:
    choice = choose_providers(_accelerated("cpu", "openvino"), kind="CPU", device="0")
    assert choice.providers == (CPU,)
    assert choice.warnings == ("runs without OpenVINO, for which this onnxruntime has no provider",)
