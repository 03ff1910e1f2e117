"""The golden answers of a bundle are verified before it is published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.toy import add_golden_images, expected_outputs, write_toy_bundle

from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError
from camserve.golden import Golden, read_golden, write_golden
from camserve.manifest import write_manifest
from camserve.pixels import normalize
from camserve.serving import publish


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_toy_bundle(tmp_path / "bundle")


def _refused(bundle: Bundle, repository: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match):
        publish(bundle, repository)
    assert not repository.exists()


def test_a_changed_weight_with_a_new_manifest_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load(bundle.path / "model.onnx")
    dense = next(tensor for tensor in model.graph.initializer if tensor.name == "dense")
    weights = numpy_helper.to_array(dense).copy()
    weights[0, 0] += 0.01
    dense.CopyFrom(numpy_helper.from_array(weights, "dense"))
    onnx.save(model, bundle.path / "model.onnx")
    write_manifest(bundle.path)
    _refused(
        bundle,
        tmp_path / "repository",
        r"does not reproduce the golden answers of its export, run in one batch: .*logits of",
    )


def test_a_graph_that_depends_on_the_batch_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load(bundle.path / "model.onnx")
    # Like a BatchNorm in training mode, this uses the whole batch. It has no effect on the 3 golden images together.
    add = next(node for node in model.graph.node if node.op_type == "Add")
    index = list(model.graph.node).index(add)
    add.output[0] = "plain_logits"
    for name, value in (("three", 3.0), ("first", 0)):
        array = numpy_helper.from_array(np.array(value, "float32" if name == "three" else "int64"), name)
        model.graph.initializer.append(array)
    for node in reversed(
        [
            helper.make_node("Shape", ["plain_logits"], ["shape_of_logits"]),
            helper.make_node("Gather", ["shape_of_logits", "first"], ["batch_size"]),
            helper.make_node("Cast", ["batch_size"], ["batch_number"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Div", ["batch_number", "three"], ["share"]),
            helper.make_node("Mul", ["plain_logits", "share"], ["logits"]),
        ]
    ):
        model.graph.node.insert(index + 1, node)
    onnx.save(model, bundle.path / "model.onnx")
    write_manifest(bundle.path)
    _refused(
        bundle, tmp_path / "repository", "does not reproduce the golden answers of its export, run one image at a time"
    )


def test_a_bundle_without_golden_answers_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "golden.npz").unlink()
    write_manifest(bundle.path)
    _refused(bundle, tmp_path / "repository", r"no golden\.npz.*Export the model again")


def test_golden_answers_of_another_model_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = write_toy_bundle(tmp_path / "other", seed=7)
    (bundle.path / "golden.npz").write_bytes((other.path / "golden.npz").read_bytes())
    write_manifest(bundle.path)
    _refused(bundle, tmp_path / "repository", "does not reproduce the golden answers")


def test_golden_images_are_published_with_the_version(bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(add_golden_images(bundle), tmp_path / "repository")
    assert (publication.path / "golden_images.npz").read_bytes() == (bundle.path / "golden_images.npz").read_bytes()


def test_other_answers_to_golden_images_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    wrong = add_golden_images(bundle, shift=0.03)
    _refused(wrong, tmp_path / "repository", r"the golden images: a\.png is of class .* \(difference 0\.03, tolerance")


def test_golden_images_resized_otherwise_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    add_golden_images(bundle)
    contract = json.loads((bundle.path / "contract.json").read_text())
    contract["preprocessing"]["scale"] = [127.5] * 3
    (bundle.path / "contract.json").write_text(json.dumps(contract))
    golden = read_golden(bundle.path / "golden.npz", bundle.contract)
    doubled = expected_outputs(bundle, 2 * normalize(golden.pixels, bundle.contract.preprocessing))
    write_golden(bundle.path / "golden.npz", Golden(golden.pixels, doubled))
    write_manifest(bundle.path)
    _refused(load_bundle(bundle.path), tmp_path / "repository", "the expected answers to the golden images")
