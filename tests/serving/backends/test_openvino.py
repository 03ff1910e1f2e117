"""The `openvino` backend, through a real Triton that serves ONNX Runtime's models beside it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bf16 import NO_BF16, has_bf16
from support.disposable_server import DisposableServer
from support.image_files import draw, save
from support.toy import expected_outputs, in_bf16, in_int8, toy_images, with_pixels, write_toy_bundle
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.scoring.bundle_answerer import BundleAnswerer
from camserve.errors import ServerError
from camserve.golden import compare, read_golden
from camserve.images.loading import open_image
from camserve.serving import publish
from camserve.serving.config.backends import Backend
from camserve.serving.config.message import read_config
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.rollback import rollback

pytestmark = pytest.mark.slow

_PINS = ("INFERENCE_PRECISION_HINT", "HINT_BF16")


@dataclass(frozen=True)
class _Served:
    """A server with several models, and their bundles by name."""

    live: LiveServer
    client: Any
    bundles: dict[str, Bundle]
    repository: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Served]:
    root = tmp_path_factory.mktemp("openvino")
    bundles = {
        "fp32": write_toy_bundle(root / "fp32", all_maps=True),
        "pixels": with_pixels(write_toy_bundle(root / "pixels")),
        "int8": in_int8(write_toy_bundle(root / "int8")),
    }
    if has_bf16():
        bundles["bf16"] = in_bf16(write_toy_bundle(root / "bf16"))
    for name, bundle in bundles.items():
        backend: Backend | None = None if name == "bf16" else "openvino"
        publish(bundle, root / "repository", name=name, backend=backend, options={"threads": 1})
    bundles["other"] = write_toy_bundle(root / "other", seed=3)
    publish(bundles["other"], root / "repository", name="other")
    with (
        DisposableServer(root / "repository", model_control="explicit") as server,
        LiveServer(server.grpc_url) as live,
        InferenceServerClient(server.grpc_url) as client,
    ):
        yield _Served(live, client, bundles, root / "repository")


def _infer(served: _Served, model: str, images: Any, outputs: list[str] | None = None) -> dict[str, Any]:
    tensor = InferInput("image", list(images.shape), "UINT8" if images.dtype == np.uint8 else "FP32")
    tensor.set_data_from_numpy(images)
    requested = None if outputs is None else [InferRequestedOutput(output) for output in outputs]
    answer = served.client.infer(model, [tensor], outputs=requested, client_timeout=30)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


@pytest.mark.parametrize("name", ["fp32", "pixels", "int8", "bf16", "other"])
def test_golden_answers_are_reproduced_alone_and_in_batches(name: str, served: _Served) -> None:
    if name not in served.bundles:
        pytest.skip(NO_BF16)
    bundle = served.bundles[name]
    assert bundle.golden_path is not None
    golden = read_golden(bundle.golden_path, bundle.contract)
    images = golden.image(bundle.contract)
    tolerance = {"int8": 5e-2, "bf16": 2e-2}.get(name, 1e-5)
    rows = np.concatenate([images] * 3)
    for size in range(1, 9):
        parts = [_infer(served, name, rows[start : start + size]) for start in range(0, len(images), size)]
        answers = {output: np.concatenate([part[output] for part in parts])[: len(images)] for output in parts[0]}
        assert compare(golden, bundle.contract, answers, tolerance=tolerance) == (), size


def test_float32_is_as_exact_as_in_onnx_runtime_in_every_batch_size(served: _Served) -> None:
    bundle = served.bundles["fp32"]
    for size in (1, 2, 8, 3, 8, 1, 5, 7):
        images = toy_images(bundle, size, seed=size)
        for name, expected in expected_outputs(bundle, images).items():
            np.testing.assert_allclose(_infer(served, "fp32", images)[name], expected, rtol=2e-6, atol=2e-6)


def test_only_requested_outputs_are_returned(served: _Served) -> None:
    images = toy_images(served.bundles["fp32"], 2)
    answers = _infer(served, "fp32", images, ["cam_class", "logits"])
    assert set(answers) == {"cam_class", "logits"}


def test_requests_of_one_batch_get_their_own_rows(served: _Served) -> None:
    """Requests of several sizes at once, answers compared after all of them: none is overwritten by the next batch."""
    bundle = served.bundles["fp32"]
    batches = [toy_images(bundle, 1 + number % 4, seed=number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda images: _infer(served, "fp32", images), batches))
    for images, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer["logits"], expected_outputs(bundle, images)["logits"], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "its configuration has no INFERENCE_PRECISION_HINT"),
        ({"INFERENCE_PRECISION_HINT": "f16"}, "INFERENCE_PRECISION_HINT must be f32 or bf16, got 'f16'"),
        ({"INFERENCE_PRECISION_HINT": "f32", "HINT_BF16": "YES"}, "f32 contradicts HINT_BF16 YES"),
    ],
)
def test_a_model_that_pins_no_precision_is_not_loaded(
    parameters: dict[str, str], message: str, served: _Served
) -> None:
    config = read_config(served.repository / "int8" / "config.pbtxt")
    for name in _PINS:
        config.parameters.pop(name, None)
    for name, value in parameters.items():
        config.parameters[name].string_value = value
    with pytest.raises(ServerError, match=message):
        served.live.load("int8", config=config)
    assert served.live.served()["int8"]  # the loaded version stays


def test_float32_in_bf16_does_not_give_the_golden_answers(served: _Served) -> None:
    if not has_bf16():
        pytest.skip(NO_BF16)
    bundle = served.bundles["pixels"]
    config = read_config(served.repository / "pixels" / "config.pbtxt")
    config.parameters["INFERENCE_PRECISION_HINT"].string_value = "bf16"
    served.live.load("pixels", config=config)
    try:
        assert bundle.golden_path is not None
        golden = read_golden(bundle.golden_path, bundle.contract)
        answers = _infer(served, "pixels", golden.image(bundle.contract))
        assert compare(golden, bundle.contract, answers, tolerance=1e-4) != ()
    finally:
        served.live.load("pixels")


def test_bf16_is_answered_as_without_a_server(served: _Served, tmp_path: Path) -> None:
    if "bf16" not in served.bundles:
        pytest.skip(NO_BF16)
    path = tmp_path / "image.png"
    path.write_bytes(save(draw("RGB", (12, 10)), "PNG"))
    (own,) = BundleAnswerer(served.bundles["bf16"]).classify([open_image(path)], ClassifyRequest())
    assert not isinstance(own, Exception)
    with Classifier(served.live.url, "bf16") as classifier:
        served_bf16 = classifier.classify(path).probabilities
    # A network of a fixed batch size, with other threads, rounds to bf16 at other places.
    assert served_bf16 == pytest.approx(own.probabilities, abs=1e-3)


def test_versions_are_swapped_under_load_and_rolled_back(served: _Served) -> None:
    bundle, changed = served.bundles["fp32"], write_toy_bundle(served.repository.parent / "new", all_maps=True, seed=9)
    images = toy_images(bundle, 2)
    known = [expected_outputs(each, images)["logits"] for each in (bundle, changed)]
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(_infer, served, "fp32", images) for _ in range(200)]
        publication = publish(changed, served.repository, name="fp32", backend="openvino", url=served.live.url)
        assert (publication.provider, publication.backend, publication.warnings) == ("CPU", "openvino", ())
        after = _infer(served, "fp32", images)["logits"]
    np.testing.assert_allclose(after, known[1], rtol=2e-6, atol=2e-6)
    for each in answers:
        assert min(np.abs(each.result()["logits"] - logits).max() for logits in known) < 1e-5
    again = rollback(served.repository, "fp32", url=served.live.url)
    assert (again.backend, again.source_version, again.provider) == ("openvino", 1, "CPU")
    np.testing.assert_allclose(_infer(served, "fp32", images)["logits"], known[0], rtol=2e-6, atol=2e-6)
