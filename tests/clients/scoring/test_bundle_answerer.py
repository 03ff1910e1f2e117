"""A bundle answers in this process as the embedded Triton does that serves it."""

from __future__ import annotations

import io
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image
from support.disposable_server import DisposableServer
from support.toy import with_pixels, write_toy_bundle

from camserve.bundle import ONNX_NAME, Bundle, load_bundle
from camserve.clients import Classification, Classifier, Crops
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.scoring.bundle_answerer import BundleAnswerer, BundleOptions
from camserve.errors import BundleError, CamserveError, ImageError, RequestError, UsageError
from camserve.images.loading import OpenedImage, open_image
from camserve.manifest import write_manifest
from camserve.serving import TritonServer, publish

PNG_HEADER = 60


def png(seed: int, size: tuple[int, int] = (9, 11)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def opened(count: int, size: tuple[int, int] = (9, 11)) -> list[OpenedImage]:
    return [open_image(png(seed, size)) for seed in range(count)]


def answered(results: Sequence[Classification | CamserveError]) -> list[Classification]:
    assert all(isinstance(each, Classification) for each in results), results
    return [each for each in results if isinstance(each, Classification)]


def assert_identical(ours: Classification, served: Classification) -> None:
    assert ours.top == served.top
    np.testing.assert_array_equal(ours.probabilities, served.probabilities)
    assert [(each.index, each.label, each.probability) for each in ours.cams] == [
        (each.index, each.label, each.probability) for each in served.cams
    ]
    for mine, other in zip(ours.cams, served.cams, strict=True):
        np.testing.assert_array_equal(mine.grid, other.grid)
        assert mine.placement == other.placement


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cam": True, "top": 2},
        {"cam": True, "class_": "class 1"},
        {"crops": Crops(count=10)},
        {"crops": Crops(count=3, choose="average"), "top": 4},
    ],
    ids=["classes", "maps", "one map", "crops", "average of crops"],
)
def test_answers_equal_those_of_the_embedded_triton_bit_for_bit(
    toy_bundle: Bundle, toy_server: TritonServer, options: dict[str, Any]
) -> None:
    request = ClassifyRequest(**options)
    answerer = BundleAnswerer(toy_bundle)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        for seed in range(4):
            (ours,) = answered(answerer.classify([open_image(png(seed))], request))
            assert_identical(ours, classifier.classify(png(seed), **options))
            assert ours.model == "toy"


def test_a_chunk_gives_the_answers_of_a_batch_at_the_server(toy_bundle: Bundle, toy_server: TritonServer) -> None:
    chunk = answered(BundleAnswerer(toy_bundle).classify(opened(8), ClassifyRequest()))
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        batch = np.stack([classifier.prepare(png(seed)) for seed in range(8)])
        expected = classifier.infer(batch, ["probabilities"])["probabilities"]
    np.testing.assert_array_equal(np.stack([each.probabilities for each in chunk]), expected)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: with_pixels(write_toy_bundle(folder, name="other", preset="torch")),
        lambda folder: write_toy_bundle(folder, name="other", channels=1, preset="tf"),
        lambda folder: write_toy_bundle(folder, name="other", preset="caffe", all_maps=True, labels=["n1\ta", *"bcd"]),
    ],
    ids=["uint8", "gray", "BGR with all maps"],
)
def test_other_contracts_are_answered_as_by_the_embedded_triton(
    write: Callable[[Path], Bundle], tmp_path: Path
) -> None:
    bundle = write(tmp_path / "bundle")
    publish(bundle, tmp_path / "repository")
    request = ClassifyRequest(cam=True)
    with (
        DisposableServer(tmp_path / "repository") as server,
        Classifier(server.grpc_url, "other") as classifier,
    ):
        for result, seed in zip(answered(BundleAnswerer(bundle).classify(opened(1), request)), range(1), strict=True):
            assert_identical(result, classifier.classify(png(seed), cam=True))


def test_an_image_that_cannot_be_decoded_does_not_disturb_its_neighbours(toy_bundle: Bundle) -> None:
    corrupt = open_image(png(7)[:-PNG_HEADER])
    answerer, (first, last) = BundleAnswerer(toy_bundle), opened(2)
    results = answerer.classify([first, corrupt, last], ClassifyRequest())
    assert isinstance(results[1], ImageError)
    assert "corrupt or truncated" in str(results[1])
    assert [results[0], results[2]] == list(answerer.classify(opened(2), ClassifyRequest()))


def test_not_a_number_is_an_error_of_its_image_only(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    model = onnx.load(bundle.onnx_path)
    place = next(place for place, node in enumerate(model.graph.node) if node.output == ["logits"])
    model.graph.node[place].output[0] = "finite"
    for number, node in enumerate(
        (
            helper.make_node("ReduceMax", ["image"], ["brightest"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Log", ["brightest"], ["logarithm"]),
            helper.make_node("Reshape", ["logarithm", "column"], ["per_image"]),
            helper.make_node("Add", ["finite", "per_image"], ["logits"]),
        ),
        place + 1,
    ):
        model.graph.node.insert(number, node)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1]), "column"))
    onnx.save(model, bundle.path / ONNX_NAME)
    write_manifest(bundle.path)
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG")
    results = BundleAnswerer(load_bundle(bundle.path)).classify(
        [open_image(png(0)), open_image(stream.getvalue()), open_image(png(1))], ClassifyRequest()
    )
    assert isinstance(results[1], RequestError)
    assert "NaN" in str(results[1])
    assert len(answered([results[0], results[2]])) == 2


def test_images_that_cannot_be_run_together_are_run_one_by_one_with_one_warning(
    toy_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    model = onnx.load(bundle.onnx_path)
    place = next(place for place, node in enumerate(model.graph.node) if node.output == ["logits"])
    model.graph.node[place].output[0] = "of_any_batch"
    model.graph.node.insert(place + 1, helper.make_node("Reshape", ["of_any_batch", "one_image"], ["logits"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 4]), "one_image"))
    onnx.save(model, bundle.path / ONNX_NAME)
    write_manifest(bundle.path)
    answerer = BundleAnswerer(load_bundle(bundle.path))
    for _ in range(2):
        results = answered(answerer.classify(opened(3), ClassifyRequest()))
        assert results == [each for image in opened(3) for each in answerer.classify([image], ClassifyRequest())]
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "camserve.clients"]
    assert warning.startswith("images that cannot be run together are run one by one, slower: ONNX Runtime cannot run")


def test_an_empty_chunk_gives_no_answers(toy_bundle: Bundle) -> None:
    assert BundleAnswerer(toy_bundle).classify([], ClassifyRequest()) == []


def test_the_version_names_the_content_of_the_bundle(toy_bundle: Bundle, tmp_path: Path) -> None:
    versions = [
        BundleOptions(path).open().model.version
        for path in (
            toy_bundle.path,
            copy_of(toy_bundle, tmp_path).path,
            write_toy_bundle(tmp_path / "other", seed=1).path,
        )
    ]
    assert versions[0] == versions[1] != versions[2]
    assert all(version.startswith("bundle-") and len(version) == 19 for version in versions)
    (result,) = answered(BundleAnswerer(toy_bundle).classify(opened(1), ClassifyRequest()))
    assert result.version == versions[0]


def test_options_can_be_sent_to_another_process(toy_bundle: Bundle) -> None:
    options = BundleOptions(toy_bundle.path, version="bundle-1")
    assert pickle.loads(pickle.dumps(options)) == options


def test_maps_of_a_bundle_without_maps_are_refused(tmp_path: Path, toy_bundle: Bundle) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    model = onnx.load(bundle.onnx_path)
    kept = [output for output in model.graph.output if not output.name.startswith("cam")]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, bundle.path / ONNX_NAME)
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match="does not match its contract: output 'cam' is missing") as error:
        BundleOptions(bundle.path).open()
    assert error.value.hint == "Export the model again: camserve export SOURCE --out BUNDLE"


def test_a_bundle_without_an_onnx_file_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    (bundle.path / ONNX_NAME).unlink()
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match="has no ONNX file") as error:
        BundleOptions(bundle.path).open()
    assert "--formats onnx" in str(error.value.hint)
    assert f"camserve publish {bundle.path} --repository DIR --backend tensorflow" in str(error.value.hint)


def test_an_altered_bundle_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    (bundle.path / ONNX_NAME).write_bytes(b"not a model")
    with pytest.raises(BundleError, match=r"does not match its manifest: model.onnx was changed"):
        BundleOptions(bundle.path).open()
    with pytest.raises(BundleError, match=r"model\.onnx was changed while it was read"):
        BundleAnswerer(bundle)
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match=r"ONNX Runtime .* cannot load .*model\.onnx"):
        BundleOptions(bundle.path).open()


def test_weights_in_another_file_are_not_read(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copy_of(toy_bundle, tmp_path)
    model = onnx.load(bundle.onnx_path)
    onnx.save(model, bundle.path / ONNX_NAME, save_as_external_data=True, location="weights.bin", size_threshold=100)
    write_manifest(bundle.path)
    monkeypatch.chdir(bundle.path)
    with pytest.raises(BundleError, match=r"cannot load .*External data path"):
        BundleOptions(bundle.path).open()


def test_a_missing_onnxruntime_is_named_with_its_extra(toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="onnxruntime, which --bundle requires, cannot be imported") as error:
        BundleOptions(toy_bundle.path).open()
    assert error.value.hint == "Install it: pip install 'camserve[bundle]'"


def test_onnxruntime_is_loaded_only_when_a_bundle_is_opened(toy_bundle: Bundle) -> None:
    program = (
        "import os, sys\n"
        "from camserve.clients.scoring.bundle_answerer import BundleOptions\n"
        f"options = BundleOptions({str(toy_bundle.path)!r})\n"
        "print('onnxruntime' in sys.modules, 'camserve.bundle' in sys.modules)\n"
        "options.open()\n"
        "print('onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "True", "1"]


def test_a_closed_answerer_is_refused(toy_bundle: Bundle) -> None:
    answerer = BundleAnswerer(toy_bundle)
    answerer.close()
    answerer.close()
    with pytest.raises(UsageError, match="the bundle of model 'toy' is closed"):
        answerer.classify(opened(1), ClassifyRequest())


def copy_of(bundle: Bundle, folder: Path) -> Bundle:
    return load_bundle(shutil.copytree(bundle.path, folder / "copy"))
