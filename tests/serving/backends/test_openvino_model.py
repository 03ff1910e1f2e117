"""A model in OpenVINO, in this process: what a server cannot be made to lack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy import expected_outputs, toy_images

from camserve.bundle import Bundle
from camserve.serving.backends.camserve_backend.openvino_model import OpenVinoModel, import_openvino
from camserve.serving.backends.camserve_backend.openvino_settings import NetworkSettings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

CONFIG: dict[str, Any] = {"max_batch_size": 8, "input": [{"name": "image", "dims": ["8", "8", "3"]}], "output": []}


class _WithoutBf16:
    """OpenVINO on a processor that does not compute in bf16."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def get_property(self, device: str, name: str) -> Any:
        found = self._core.get_property(device, name)
        return [each for each in found if each != "BF16"] if name == "OPTIMIZATION_CAPABILITIES" else found


def _opened(bundle: Bundle, log: list[str], **settings: Any) -> OpenVinoModel:
    assert bundle.onnx_path is not None
    return OpenVinoModel(bundle.onnx_path, CONFIG, NetworkSettings(**settings), log=log.append)


def test_a_processor_without_bf16_computes_in_float32_with_a_warning(toy_bundle: Bundle) -> None:
    log: list[str] = []
    model = _opened(toy_bundle, log, precision="bf16", sizes=(1, 8))
    model._core = _WithoutBf16(model._core)
    model.make_ready()
    (warning,) = model.warnings
    assert warning.startswith("computes in float32, since this processor does not compute in bf16")
    assert log[0].startswith("OpenVINO computes in f32; ready after")
    images = toy_images(toy_bundle, 2)
    (logits,) = model.run(["logits"], [{"image": images}])
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, images)["logits"], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("sizes", [(), (1, 8), (2,), (1, 2, 4, 8), tuple(range(1, 9))])
def test_every_batch_size_is_run_whichever_are_prepared(sizes: tuple[int, ...], toy_bundle: Bundle) -> None:
    model = _opened(toy_bundle, [], precision="f32", sizes=sizes)
    model.make_ready()
    for rows in (1, 2, 3, 5, 6, 7, 8, 3):
        parts = [{"image": image[np.newaxis]} for image in toy_images(toy_bundle, rows, seed=rows)]
        expected = expected_outputs(toy_bundle, np.concatenate([part["image"] for part in parts]))
        for name, values in zip(expected, model.run(list(expected), parts), strict=True):
            np.testing.assert_allclose(values, expected[name], rtol=2e-6, atol=2e-6)


def test_an_answer_is_not_overwritten_by_the_next(toy_bundle: Bundle) -> None:
    model = _opened(toy_bundle, [], precision="f32", sizes=(1,))
    model.make_ready()
    first, second = (toy_images(toy_bundle, 1, seed=seed) for seed in (1, 2))
    (kept,) = model.run(["logits"], [{"image": first}])
    model.run(["logits"], [{"image": second}])
    np.testing.assert_allclose(kept, expected_outputs(toy_bundle, first)["logits"], rtol=2e-6, atol=2e-6)


def test_a_file_that_openvino_cannot_load_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelRefusedError, match=r"OpenVINO cannot load model\.onnx: "):
        OpenVinoModel(path, CONFIG, NetworkSettings("f32"), log=lambda _: None)


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelRefusedError, match=r"openvino cannot be imported: .*Install it: pip install 'camserve\["):
        import_openvino()


def test_the_import_leaves_the_telemetry_out() -> None:
    code = """if True:
        import sys
        from camserve.serving.backends.camserve_backend.openvino_model import import_openvino
        import_openvino()
        print(sys.modules["openvino_telemetry"])
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "None\n"
