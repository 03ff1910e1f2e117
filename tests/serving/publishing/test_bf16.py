"""A bundle in bf16 is never served in float32, and through OpenVINO it gives its golden answers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from support.disposable_server import DisposableServer
from support.toy import in_bf16, write_toy_bundle

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.scoring.bundle_answerer import BundleAnswerer
from camserve.errors import UsageError
from camserve.images.loading import open_image
from camserve.openvino_runtime import capabilities
from camserve.serving import publish
from camserve.serving.config.backends import Backend

pytestmark = pytest.mark.skipif(
    find_spec("openvino") is None or "BF16" not in capabilities("this test"),
    reason="OpenVINO does not compute in bf16 here",
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return in_bf16(write_toy_bundle(tmp_path / "toy"))


def test_onnx_runtime_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ONNX Runtime would compute a model of precision bf16 in float32"):
        publish(bundle, tmp_path / "repository", backend="onnxruntime")
    assert not list((tmp_path / "repository").glob("toy/*"))


@pytest.mark.skipif("openvino" not in get_args(Backend), reason="there is no OpenVINO backend yet")
def test_openvino_is_the_default_and_answers_in_bf16(bundle: Bundle, tmp_path: Path, image_file: Path) -> None:
    publication = publish(bundle, tmp_path / "repository")
    assert 'backend: "openvino"' in (publication.path.parent / "config.pbtxt").read_text()
    with DisposableServer(tmp_path / "repository", model_control="explicit") as server:
        publish(bundle, tmp_path / "repository", url=server.grpc_url)  # compares the golden answers
        with Classifier(server.grpc_url, "toy") as classifier:
            served = classifier.classify(image_file)
    (own,) = BundleAnswerer(bundle).classify([open_image(image_file)], ClassifyRequest())
    assert not isinstance(own, Exception)
    assert served.probabilities == pytest.approx(own.probabilities, abs=1e-6)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "image.png"
    Image.effect_noise((12, 10), 80).convert("RGB").save(path)
    return path
