"""A bundle in bf16 answers in this process through OpenVINO, in bf16, or is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.bf16 import needs_bf16
from support.toy import in_bf16, toy_pixels, write_toy_bundle

from camserve import openvino_runtime
from camserve.bundle import ONNX_NAME, Bundle
from camserve.clients import score_table
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.scoring.bundle_answerer import BundleAnswerer, BundleOptions
from camserve.clients.scoring.bundle_session import open_session
from camserve.errors import BundleError, RequestError, UsageError
from camserve.golden import read_golden
from camserve.images.loading import open_image
from camserve.manifest import write_manifest
from camserve.pixels import graph_input

pytestmark = needs_bf16


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return in_bf16(write_toy_bundle(tmp_path / "toy"))


def test_outputs_are_those_of_bf16(bundle: Bundle) -> None:
    assert bundle.golden_path is not None
    golden = read_golden(bundle.golden_path, bundle.contract)
    session = open_session(bundle)
    outputs = session.run(golden.image(bundle.contract), list(golden.answers))
    for name, expected in golden.answers.items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-6)
    assert 1e-4 < golden.rounding < 0.05
    assert [(each.name, each.datatype, each.shape) for each in session.inputs] == [("image", "FP32", (-1, 8, 8, 3))]
    assert {each.name: each.datatype for each in session.outputs}["cam_class"] == "INT32"


def test_images_are_classified_with_maps(bundle: Bundle, tmp_path: Path) -> None:
    from PIL import Image

    images = []
    for number, pixels in enumerate(toy_pixels(bundle.contract)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        images.append(open_image((tmp_path / f"{number}.png").read_bytes()))
    logits = open_session(bundle).run(
        graph_input(toy_pixels(bundle.contract), bundle.contract.preprocessing), ["logits"]
    )["logits"]
    answers = BundleAnswerer(bundle).classify(images, ClassifyRequest(cam=True))
    assert [answer.top[0].index for answer in answers] == logits.argmax(axis=1).tolist()  # type: ignore[union-attr]


def test_a_table_is_scored_and_the_runtime_reported(bundle: Bundle, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(toy_pixels(bundle.contract)[0]).save(tmp_path / "image.png")
    notes: list[str] = []
    table = tmp_path / "answers.csv"
    summary = score_table([tmp_path / "image.png"], table, bundle=bundle.path, report=notes.append)
    assert notes == [f"{bundle.path} answers on the CPU of this host, through OpenVINO in bf16"]
    assert summary.rows == 1
    assert "class " in table.read_text()


def test_a_batch_of_another_size_is_an_error_of_the_request(bundle: Bundle) -> None:
    with pytest.raises(RequestError, match=r"OpenVINO cannot run .*: Can't set the input tensor"):
        open_session(bundle).run(np.zeros((1, 9, 9, 3), np.float32), ["logits"])


def test_weights_in_another_file_are_not_read(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(bundle.onnx_path)
    onnx.save(model, bundle.path / ONNX_NAME, save_as_external_data=True, location="weights.bin", size_threshold=100)
    write_manifest(bundle.path)
    monkeypatch.chdir(bundle.path)  # where OpenVINO would find them
    with pytest.raises(BundleError, match=r"model\.onnx stores the tensor .* in another file"):
        BundleOptions(bundle.path).open()


def test_a_missing_openvino_is_named_with_its_extra(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="openvino, which a bundle in bf16 requires, cannot be imported") as error:
        BundleOptions(bundle.path).open()
    assert error.value.hint == "Install it: pip install 'camserve[openvino]'"


def test_a_processor_without_bf16_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "capabilities", lambda purpose: ("FP32", "INT8"))
    with pytest.raises(UsageError, match="a bundle in bf16 requires a processor that computes in bf16"):
        BundleOptions(bundle.path).open()
