"""Models that do not match their contract, or return invalid outputs, served by Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from sklearn.datasets import load_sample_image
from support.disposable_server import DisposableServer
from support.toy import write_toy_bundle
from support.variants import Edit, add_variant, without_maps

from camserve.clients import Classifier
from camserve.contract import LABELS_PARAMETER
from camserve.errors import CamserveError, ContractError, RequestError, UsageError
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer, publish

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return Pixels(load_sample_image("china.jpg"), "rgb")


def no_contract(config: Any, contract: dict[str, Any]) -> None:
    contract.clear()


def no_labels(config: Any, contract: dict[str, Any]) -> None:
    del config.parameters[LABELS_PARAMETER]


def short_labels(config: Any, contract: dict[str, Any]) -> None:
    config.parameters[LABELS_PARAMETER].string_value = "a\nb"


def future_version(config: Any, contract: dict[str, Any]) -> None:
    contract["version"] = 3


def other_input_name(config: Any, contract: dict[str, Any]) -> None:
    contract["input"]["name"] = "photo"


def other_height(config: Any, contract: dict[str, Any]) -> None:
    contract["input"]["shape"][0] = 9


def other_input_type(config: Any, contract: dict[str, Any]) -> None:
    contract["input"]["dtype"] = "UINT8"
    contract["preprocessing"]["in_graph"] = True


def other_classes(config: Any, contract: dict[str, Any]) -> None:
    contract["classes"] = 3
    config.parameters[LABELS_PARAMETER].string_value = "a\nb\nc"


def unknown_output(config: Any, contract: dict[str, Any]) -> None:
    contract["outputs"].append({"name": "features", "dtype": "FP32", "shape": [6]})


def unnamed_output(config: Any, contract: dict[str, Any]) -> None:
    del contract["outputs"][1]


def other_output_type(config: Any, contract: dict[str, Any]) -> None:
    contract["outputs"][3]["dtype"] = "FP32"


def other_grid(config: Any, contract: dict[str, Any]) -> None:
    contract["cam"]["grid"] = [5, 5]


def no_scores(config: Any, contract: dict[str, Any]) -> None:
    del contract["outputs"][:2]
    del config.output[:2]


def only_logits(config: Any, contract: dict[str, Any]) -> None:
    del contract["outputs"][0]
    del config.output[0]


def with_identifiers(config: Any, contract: dict[str, Any]) -> None:
    config.parameters[LABELS_PARAMETER].string_value = "\n".join(f"n{index}\tthing {index}" for index in range(4))


REFUSED: list[tuple[Edit, str]] = [
    (no_contract, "has no contract"),
    (no_labels, "has 4 classes, but 0 labels"),
    (short_labels, "has 4 classes, but 2 labels"),
    (future_version, "is of version 3, and this camserve reads versions 1 to 2.*pip install --upgrade"),
    (other_input_name, "input 'image' is not in the contract; input 'photo' is missing"),
    (other_height, r"input 'image' is FP32 \[-1, 8, 8, 3\], expected FP32 \[-1, 9, 8, 3\]"),
    (other_input_type, "expected UINT8"),
    (other_classes, r"must define 'probabilities' as FP32 \[3\]"),
    (unknown_output, "output 'features' is missing"),
    (unnamed_output, "output 'logits' is not in the contract"),
    (other_output_type, r"must define 'cam_class' as INT32 \[3\]"),
    (other_grid, "must define 'cam'"),
    (no_scores, "has neither 'probabilities' nor 'logits'"),
]
ACCEPTED: list[Edit] = [without_maps, with_identifiers, only_logits]


def add_overflowing(repository: Path, original: Path, name: str, initializer: str) -> None:
    """Copy the published toy with one of its weights replaced by NaN."""

    def rename(config: Any, contract: dict[str, Any]) -> None:
        config.name = name

    rename.__name__ = name
    add_variant(repository, original, rename)
    path = repository / name / "1" / "model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == initializer:
            array = numpy_helper.to_array(tensor).copy()
            array.flat[0] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)


@pytest.fixture(scope="module")
def odd_server(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Start Triton with variants of the toy, most of which do not match their contract."""
    repository = tmp_path_factory.mktemp("odd") / "repository"
    for edit in [each for each, _ in REFUSED] + ACCEPTED:
        add_variant(repository, toy_repository, edit)
    add_overflowing(repository, toy_repository, "overflowing", "dense_bias")
    gray = tmp_path_factory.mktemp("gray")
    publish(write_toy_bundle(gray / "bundle", name="gray", channels=1, size=(12, 10)), repository)
    with DisposableServer(repository) as server:
        yield server


@pytest.mark.parametrize(("edit", "why"), REFUSED, ids=[edit.__name__ for edit, _ in REFUSED])
def test_a_model_that_violates_its_contract_is_refused_at_connect(
    odd_server: TritonServer, edit: Edit, why: str
) -> None:
    with pytest.raises(ContractError, match=why) as caught:
        Classifier(odd_server.grpc_url, edit.__name__)
    assert edit.__name__ in str(caught.value)
    assert caught.value.hint


def test_maps_of_a_model_without_are_refused(odd_server: TritonServer, photo: Pixels) -> None:
    with Classifier(odd_server.grpc_url, "without_maps") as classifier:
        assert len(classifier.classify(photo).top) == 4
        with pytest.raises(UsageError, match="'without_maps' has no maps"):
            classifier.classify(photo, cam=True)


def test_probabilities_of_a_model_with_logits_only(
    odd_server: TritonServer, toy_server: TritonServer, photo: Pixels
) -> None:
    with Classifier(odd_server.grpc_url, "only_logits") as bare, Classifier(toy_server.grpc_url, "toy") as classifier:
        found, expected = bare.classify(photo, cam=True), classifier.classify(photo, cam=True)
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-6
    assert [cam.index for cam in found.cams] == [cam.index for cam in expected.cams]


def test_a_label_may_have_an_identifier(odd_server: TritonServer, photo: Pixels) -> None:
    with Classifier(odd_server.grpc_url, "with_identifiers") as classifier:
        best = classifier.classify(photo).top[0]
        assert (best.identifier, best.label) == (f"n{best.index}", f"thing {best.index}")
        assert classifier.labels == ("thing 0", "thing 1", "thing 2", "thing 3")


def test_a_model_that_returns_nan_is_an_error(odd_server: TritonServer, photo: Pixels) -> None:
    with Classifier(odd_server.grpc_url, "overflowing") as classifier:
        for cam in (False, True):
            with pytest.raises(RequestError, match="NaN"):
                classifier.classify(photo, cam=cam)


def test_a_gray_model_accepts_color_and_gray_images(odd_server: TritonServer, photo: Pixels, tmp_path: Path) -> None:
    with Classifier(odd_server.grpc_url, "gray") as classifier:
        gray = np.asarray(Image.fromarray(photo.array).convert("L"))
        assert classifier.prepare(photo).shape == (12, 10, 1)
        first, second = classifier.classify(photo, cam=True), classifier.classify(gray, cam=True)
        assert np.array_equal(first.probabilities, second.probabilities)
        assert first.cams[0].overlay().size == (10, 12)


def test_every_connection_error_has_a_hint(odd_server: TritonServer) -> None:
    for address in ("127.0.0.1:1", odd_server.http_url):
        with pytest.raises(CamserveError) as caught:
            Classifier(address, "toy")
        assert caught.value.hint
        assert address in str(caught.value)
