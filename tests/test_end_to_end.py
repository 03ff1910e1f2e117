"""The whole way: what a client reads from Triton is what Keras says of the same file."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support.command_line import run
from support.networks import enliven, small_network
from support.sabotage import SABOTAGE

from camserve.cli import main
from camserve.clients import Classifier
from camserve.contract import PRESETS
from camserve.demo import run_demo
from camserve.export import RECIPES, export_model
from camserve.export.graph.prepare import prepare
from camserve.serving import TritonServer, publish


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A real photo of 640 by 427 pixels."""
    datasets = pytest.importorskip("sklearn.datasets")
    path = tmp_path / "china.png"
    Image.fromarray(datasets.load_sample_image("china.jpg")).save(path)
    return path


@pytest.mark.slow
def test_a_photo_through_the_served_resnet50_is_what_keras_says(photo: Path, tmp_path: Path) -> None:
    recipe = RECIPES["resnet50"]
    model = enliven(recipe.build(), recipe.preprocessing)
    publish(export_model(model, tmp_path / "bundle", name="resnet50", preprocessing="caffe"), tmp_path / "repository")

    image = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=(224, 224)))[np.newaxis]
    prepared = keras.applications.resnet50.preprocess_input(image.copy())
    expected = model.predict(prepared, verbose=0)[0]
    maps = prepare(model, cam=True, top_k=5, all_classes=False).reference(prepared).maps
    assert maps is not None
    with TritonServer(tmp_path / "repository") as server:
        with Classifier(server.grpc_url, "resnet50") as classifier:
            answer = classifier.classify(photo, top=5, cam=True)
        told = run("classify", photo, "--model", "resnet50", "--url", server.grpc_url, "--json", "--top", "5")
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
    assert [prediction.index for prediction in answer.top] == expected.argsort()[-5:][::-1].tolist()
    for cam in answer.cams:
        scale = np.abs(maps).max()
        np.testing.assert_allclose(cam.grid / scale, maps[0, cam.index] / scale, atol=1e-4)
    (document,) = json.loads(told.stdout)
    assert [entry["index"] for entry in document["top"]] == [prediction.index for prediction in answer.top]


def test_pixels_through_a_graph_that_prepares_them_are_what_keras_says(photo: Path, tmp_path: Path) -> None:
    model = enliven(small_network(), PRESETS["caffe"])
    bundle = export_model(model, tmp_path / "bundle", name="small", preprocessing="caffe", input_dtype="uint8")
    publish(bundle, tmp_path / "repository")
    image = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=(16, 16)))[np.newaxis]
    expected = model.predict(keras.applications.resnet50.preprocess_input(image.copy()), verbose=0)[0]
    with TritonServer(tmp_path / "repository") as server, Classifier(server.grpc_url, "small") as classifier:
        answer = classifier.classify(photo, cam=True)
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_the_demo_is_accurate_and_agrees_with_keras(tmp_path: Path) -> None:
    phases: list[str] = []
    result = run_demo(tmp_path / "work", tmp_path / "repository", phases.append)
    assert result.images == 360
    assert result.accuracy >= 0.97
    assert result.same_class == result.images
    assert result.largest_difference <= 1e-5
    page = result.gallery.read_text()
    assert page.count("data:image/png;base64,") >= 2 * 40
    assert 'src="http' not in page
    assert "start Triton" in phases


@pytest.mark.parametrize("way", SABOTAGE)
def test_what_fails_the_gate_ends_with_1_and_is_not_published(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, bundle, repository = tmp_path / "model.keras", str(tmp_path / "bundle"), str(tmp_path / "repository")
    enliven(small_network(), PRESETS["unit"]).save(source)
    SABOTAGE[way][0](monkeypatch)
    with pytest.raises(SystemExit) as end:
        main(["export", str(source), "--preprocess", "unit", "--out", bundle, "--publish", repository])
    assert end.value.code == 1
    assert "does not say what Keras says" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
