"""End to end: a client of Triton gets the answers that Keras gives to the same file."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support.command_line import UNIT, run
from support.disposable_server import DisposableServer
from support.networks import enliven, small_network
from support.sabotage import SABOTAGE
from support.trained import train_digits

from camserve.cli import main
from camserve.clients import Classifier
from camserve.contract import PRESETS
from camserve.demo import run_demo, walkthrough
from camserve.export import RECIPES, export_model
from camserve.export.graph.prepare import prepare
from camserve.serving import publish

pytestmark = pytest.mark.slow


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Write a photo of 640 by 427 pixels and return its path."""
    datasets = pytest.importorskip("sklearn.datasets")
    path = tmp_path / "china.png"
    Image.fromarray(datasets.load_sample_image("china.jpg")).save(path)
    return path


@pytest.mark.slow
def test_served_resnet50_gives_the_answers_of_keras(photo: Path, tmp_path: Path) -> None:
    recipe = RECIPES["resnet50"]
    model = enliven(recipe.build(), recipe.preprocessing)
    publish(
        export_model(model, tmp_path / "bundle", name="resnet50", preprocessing="caffe", resize="nearest"),
        tmp_path / "repository",
    )

    image = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=(224, 224)))[np.newaxis]
    prepared = keras.applications.resnet50.preprocess_input(image.copy())
    expected = model.predict(prepared, verbose=0)[0]
    maps = prepare(model, cam=True, top_k=5, all_classes=False).reference(prepared).maps
    assert maps is not None
    with DisposableServer(tmp_path / "repository") as server:
        with Classifier(server.grpc_url, "resnet50") as classifier:
            answer = classifier.classify(photo, top=5, cam=True)
        printed = run("classify", photo, "--model", "resnet50", "--url", server.grpc_url, "--json", "--top", "5")
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
    assert [prediction.index for prediction in answer.top] == expected.argsort()[-5:][::-1].tolist()
    for cam in answer.cams:
        scale = np.abs(maps).max()
        np.testing.assert_allclose(cam.grid / scale, maps[0, cam.index] / scale, atol=1e-4)
    (document,) = json.loads(printed.stdout)
    assert [entry["index"] for entry in document["top"]] == [prediction.index for prediction in answer.top]


def test_preprocessing_in_the_graph_gives_the_answers_of_keras(photo: Path, tmp_path: Path) -> None:
    model = enliven(small_network(), PRESETS["caffe"])
    bundle = export_model(
        model, tmp_path / "bundle", name="small", preprocessing="caffe", resize="nearest", input_dtype="uint8"
    )
    publish(bundle, tmp_path / "repository")
    image = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=(16, 16)))[np.newaxis]
    expected = model.predict(keras.applications.resnet50.preprocess_input(image.copy()), verbose=0)[0]
    with DisposableServer(tmp_path / "repository") as server, Classifier(server.grpc_url, "small") as classifier:
        answer = classifier.classify(photo, cam=True)
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_demo_classifies_digits_like_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phases: list[str] = []
    monkeypatch.setattr(walkthrough, "train", train_digits)
    result = run_demo(tmp_path / "work", tmp_path / "repository", phases.append)
    assert result.images == 360
    assert result.accuracy >= 0.97
    assert result.same_class == result.images
    assert result.largest_difference <= 1e-5
    page = result.gallery.read_text()
    assert page.count("data:image/png;base64,") >= 2 * 40
    assert 'src="http' not in page
    assert "start Triton" in phases


@pytest.mark.parametrize("fault", SABOTAGE)
def test_failed_gate_exits_with_1_and_publishes_nothing(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, bundle, repository = tmp_path / "model.keras", str(tmp_path / "bundle"), str(tmp_path / "repository")
    enliven(small_network(), PRESETS["unit"]).save(source)
    SABOTAGE[fault][0](monkeypatch)
    with pytest.raises(SystemExit) as end:
        main(["export", str(source), *UNIT, "--out", bundle, "--publish", repository])
    assert end.value.code == 1
    assert "differs from Keras" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
