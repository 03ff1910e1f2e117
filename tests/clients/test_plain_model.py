"""Models that camserve did not publish: the caller passes the contract, which must match the tensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, write_toy_bundle
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.contract import ModelContract
from camserve.errors import CamserveError, ContractError, UsageError
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer

IMAGE = Pixels(np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")
NAMES = {"image": "input_1", "probabilities": "predictions", "logits": "scores"}
LABELS = ["ant", "bee", "cat", "dog"]
TYPES = {"FP32": model_config_pb2.TYPE_FP32, "INT32": model_config_pb2.TYPE_INT32}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_toy_bundle(tmp_path_factory.mktemp("plain") / "bundle", all_maps=True, labels=LABELS)


def add_plain(repository: Path, name: str, bundle: Bundle, *, names: dict[str, str], max_batch_size: int) -> None:
    """Add a model as others would publish it: tensors with other names, and no contract."""
    (repository / name / "1").mkdir(parents=True)
    model = onnx.load(bundle.path / "model.onnx")
    for node in model.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    onnx.save(model, repository / name / "1" / "model.onnx")
    config = model_config_pb2.ModelConfig(name=name, backend="onnxruntime", max_batch_size=max_batch_size)
    free = () if max_batch_size else (-1,)
    contract = bundle.contract
    for described, spec in [(config.input, contract.input), *((config.output, each) for each in contract.outputs)]:
        described.add(name=names.get(spec.name, spec.name), data_type=TYPES[spec.dtype], dims=[*free, *spec.shape])
    (repository / name / "config.pbtxt").write_text(text_format.MessageToString(config))


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("plain") / "repository"
    add_plain(repository, "plain", bundle, names={}, max_batch_size=4)
    add_plain(repository, "renamed", bundle, names=NAMES, max_batch_size=4)
    add_plain(repository, "unbatched", bundle, names={}, max_batch_size=0)
    with DisposableServer(repository) as running:
        yield running


def test_model_without_contract_is_refused_with_a_hint(server: TritonServer) -> None:
    with pytest.raises(ContractError, match=r"'plain' has no contract.*pass a contract"):
        Classifier(server.grpc_url, "plain")


def test_contract_and_labels_arguments_are_used(server: TritonServer, bundle: Bundle, tmp_path: Path) -> None:
    path = shutil.copy(bundle.path / "contract.json", tmp_path)
    indices = {label: number for number, label in enumerate(LABELS)}
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(indices))
    for contract, labels in ((bundle.contract, LABELS), (path, indices), (str(path), file)):
        with Classifier(server.grpc_url, "plain", contract=contract, labels=labels) as classifier:
            result = classifier.classify(IMAGE, cam=True)
            expected = expected_outputs(bundle, classifier.prepare(IMAGE)[np.newaxis])
            assert np.abs(result.probabilities - expected["probabilities"][0]).max() < 1e-6
            assert result.top[0].label == LABELS[int(expected["cam_class"][0][0])]
            assert np.abs(result.cams[0].grid - expected["cam"][0][0]).max() < 1e-5
            assert classifier.cam(IMAGE, "dog").label == "dog"


def test_tensor_names_are_mapped(server: TritonServer, bundle: Bundle) -> None:
    with Classifier(server.grpc_url, "renamed", contract=bundle.contract, labels=LABELS, names=NAMES) as classifier:
        expected = expected_outputs(bundle, classifier.prepare(IMAGE)[np.newaxis])
        assert np.abs(classifier.classify(IMAGE).probabilities - expected["probabilities"][0]).max() < 1e-6
        assert np.abs(classifier.logits(IMAGE) - expected["logits"][0]).max() < 1e-5
        raw = classifier.infer(np.stack([classifier.prepare(IMAGE)] * 9), ["logits"])
        assert raw["logits"].shape == (9, 4)


def test_probabilities_are_computed_from_logits(server: TritonServer, bundle: Bundle) -> None:
    outputs = tuple(output for output in bundle.contract.outputs if output.name == "logits")
    contract = bundle.contract.model_copy(update={"outputs": outputs, "cam": None})
    with Classifier(server.grpc_url, "plain", contract=contract, labels=LABELS) as classifier:
        expected = expected_outputs(bundle, classifier.prepare(IMAGE)[np.newaxis])["probabilities"][0]
        assert np.abs(classifier.classify(IMAGE).probabilities - expected).max() < 1e-6


def test_logits_named_as_probabilities_are_refused(server: TritonServer, bundle: Bundle) -> None:
    outputs = tuple(output for output in bundle.contract.outputs if output.name == "probabilities")
    contract = bundle.contract.model_copy(update={"outputs": outputs, "cam": None})
    named: dict[str, Any] = {"contract": contract, "labels": LABELS, "names": {"probabilities": "logits"}}
    with (
        Classifier(server.grpc_url, "plain", **named) as classifier,
        pytest.raises(ContractError, match="which a softmax cannot return"),
    ):
        classifier.classify(IMAGE)


def test_model_without_batching_takes_any_batch(server: TritonServer, bundle: Bundle) -> None:
    with Classifier(server.grpc_url, "unbatched", contract=bundle.contract, labels=LABELS) as classifier:
        batch = np.stack([classifier.prepare(IMAGE)] * 30)
        assert classifier.infer(batch, ["logits"])["logits"].shape == (30, 4)


def other(bundle: Bundle, **changes: Any) -> ModelContract:
    document = json.loads(bundle.contract.to_json())
    return ModelContract.model_validate({**document, **changes})


def test_mismatching_arguments_are_refused_at_connect(server: TritonServer, bundle: Bundle) -> None:
    larger = other(bundle, input={"name": "image", "dtype": "FP32", "shape": [9, 8, 3]})
    cases: list[tuple[dict[str, Any], type[CamserveError], str]] = [
        ({"contract": larger, "labels": LABELS}, ContractError, r"expected FP32 \[-1, 9, 8, 3\].*names that match"),
        ({"contract": bundle.contract}, ContractError, "4 classes, but 0 labels.*Pass labels"),
        ({"contract": bundle.contract, "labels": LABELS[:3]}, ContractError, "4 classes, but 3 labels"),
        ({"contract": bundle.contract, "labels": LABELS, "names": {"image": "x"}}, ContractError, "'x' is missing"),
        ({"contract": bundle.contract, "labels": LABELS, "names": {"picture": "x"}}, UsageError, "'picture'.*image, "),
        (
            {"contract": bundle.contract, "names": {"probabilities": "logits"}},
            UsageError,
            "several tensors of the contract to 'logits'",
        ),
        (
            {"contract": bundle.contract.model_copy(update={"cam": None}), "labels": LABELS},
            UsageError,
            "outputs has 'cam', but cam does not describe it",
        ),
        ({"contract": "nowhere.json"}, UsageError, "cannot read nowhere.json"),
        ({"contract": __file__}, UsageError, "not a valid camserve contract"),
    ]
    for arguments, kind, why in cases:
        with pytest.raises(kind, match=why) as caught:
            Classifier(server.grpc_url, "plain", **arguments)
        assert caught.value.hint


def test_arguments_must_equal_those_of_the_model(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    url = toy_server.grpc_url
    with Classifier(url, "toy", contract=toy_bundle.contract, labels=toy_bundle.labels) as classifier:
        assert classifier.classify(IMAGE).version == "1"
    with pytest.raises(ContractError, match="has a contract, which differs from the argument contract"):
        Classifier(url, "toy", contract=other(toy_bundle, activation="sigmoid"))
    with pytest.raises(ContractError, match="has labels, which differ from the argument labels"):
        Classifier(url, "toy", labels=LABELS)
