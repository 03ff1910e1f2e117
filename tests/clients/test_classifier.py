from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from toy import expected_outputs

from camserve.bundle import Bundle
from camserve.clients import Classifier, load_image, prepare
from camserve.errors import (
    ConnectionFailedError,
    DeadlineError,
    RequestError,
    UsageError,
)
from camserve.heatmap import jet, normalize, upsample
from camserve.serving import TritonServer

Array = np.ndarray[Any, Any]
Edit = Callable[[Any, dict[str, Any]], None]

GRACE = 0.5


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy") as opened:
        yield opened


@pytest.fixture(scope="module")
def photo() -> Array:
    pixels: Array = load_sample_image("china.jpg")
    return pixels


def test_the_answer_is_the_models_own_for_what_keras_would_send(
    classifier: Classifier, toy_bundle: Bundle, photo: Array
) -> None:
    from keras.utils import img_to_array

    fitted = Image.fromarray(photo).resize((8, 8), Image.Resampling.NEAREST)
    batch = (img_to_array(fitted) / 255)[np.newaxis]
    expected = {name: array[0] for name, array in expected_outputs(toy_bundle, batch).items()}
    result = classifier.classify(photo, top=4, cam=True)
    order = expected["probabilities"].argsort()[::-1].tolist()
    assert np.abs(result.probabilities - expected["probabilities"]).max() <= 1e-6
    assert [each.index for each in result.top] == order
    assert [each.label for each in result.top] == [f"class {index}" for index in order]
    assert [each.probability for each in result.top] == [float(result.probabilities[index]) for index in order]
    assert [each.class_index for each in result.cams] == expected["cam_class"].tolist() == order[:3]
    for found, grid in zip(result.cams, expected["cam"], strict=True):
        assert found.grid.dtype == np.float32
        assert np.abs(found.grid - grid).max() <= 1e-5
        assert found.label == f"class {found.class_index}"
        assert found.probability == float(result.probabilities[found.class_index])
    assert (result.model, result.version) == ("toy", "1")


def test_path_bytes_picture_and_array_are_answered_alike(classifier: Classifier, photo: Array, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    answers = [classifier.classify(each) for each in (path, str(path), path.read_bytes(), Image.open(path), photo)]
    assert all(answer == answers[0] for answer in answers)
    assert all(np.array_equal(answer.probabilities, answers[0].probabilities) for answer in answers)


def test_raw_outputs_come_for_the_whole_batch(classifier: Classifier, toy_bundle: Bundle, photo: Array) -> None:
    batch = np.stack([classifier.prepare(photo), classifier.prepare(photo[::-1]), classifier.prepare(photo[:, ::-1])])
    assert np.array_equal(batch[0], prepare(load_image(photo), toy_bundle.contract))
    expected = expected_outputs(toy_bundle, batch)
    answer = classifier.infer(batch, ["logits", "cam"])
    assert list(answer) == ["logits", "cam"]
    for name, array in answer.items():
        assert np.abs(array - expected[name]).max() <= 1e-5


def test_maps_come_only_when_asked_for_and_no_more_than_classes_named(classifier: Classifier, photo: Array) -> None:
    assert classifier.classify(photo).cams == ()
    assert len(classifier.classify(photo, top=2, cam=True).cams) == 2
    assert len(classifier.classify(photo, top=4, cam=True).cams) == 3


def test_a_map_is_drawn_over_the_picture_as_the_network_saw_it(classifier: Classifier, photo: Array) -> None:
    (found,) = classifier.classify(photo, top=1, cam=True).cams
    seen = np.asarray(Image.fromarray(photo).resize((8, 8), Image.Resampling.NEAREST), np.float64)
    heat = jet(normalize(upsample(found.grid, (8, 8))))
    assert np.array_equal(found.upsample(), upsample(found.grid, (8, 8)))
    assert np.abs(np.asarray(found.overlay(), np.float64) - (seen + heat) / 2).max() <= 1.0
    assert found.upsample((40, 60)).shape == (40, 60)
    assert found.overlay(size=(40, 60)).size == (60, 40)


def test_the_contract_and_the_labels_come_from_the_server(classifier: Classifier, toy_bundle: Bundle) -> None:
    assert classifier.contract == toy_bundle.contract
    assert classifier.labels == toy_bundle.labels
    assert classifier.is_ready()


def test_a_version_can_be_named(toy_server: TritonServer, photo: Array) -> None:
    with Classifier(toy_server.grpc_url, "toy", version="1") as classifier:
        assert classifier.classify(photo).version == "1"
    with pytest.raises(RequestError, match=r"version 2 .* is not loaded"):
        Classifier(toy_server.grpc_url, "toy", version="2")


def test_an_unknown_model_is_refused_by_name(toy_server: TritonServer) -> None:
    with pytest.raises(RequestError, match=r"model 'cat' at .* is not loaded") as caught:
        Classifier(toy_server.grpc_url, "cat")
    assert toy_server.grpc_url in str(caught.value)
    assert caught.value.hint


def test_the_http_port_is_not_taken_for_the_grpc_port(toy_server: TritonServer) -> None:
    with pytest.raises(ConnectionFailedError, match="gRPC port"):
        Classifier(toy_server.http_url, "toy")


def batches() -> list[tuple[Array, str]]:
    good = np.zeros((1, 8, 8, 3), np.float32)
    nan, infinite = good.copy(), good.copy()
    nan[0, 1, 2, 0] = np.nan
    infinite[0, 1, 2, 0] = np.inf
    return [
        (good.astype(np.float64), "does not fit"),
        (good.astype(np.uint8), "does not fit"),
        (good.astype(">f4"), "does not fit"),
        (good[0], "does not fit"),
        (good.transpose(0, 3, 1, 2), "does not fit"),
        (good[:0], "does not fit"),
        (np.zeros((9, 8, 8, 3), np.float32), "over the maximum"),
        (nan, "NaN or infinity"),
        (infinite, "NaN or infinity"),
    ]


@pytest.mark.parametrize(("batch", "why"), batches())
def test_a_batch_that_does_not_fit_is_refused_before_the_socket(classifier: Classifier, batch: Array, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        classifier.infer(batch, ["logits"])
    assert "'toy'" in str(caught.value) or "NaN" in str(caught.value)


def test_an_output_that_the_model_does_not_have_is_refused(classifier: Classifier) -> None:
    with pytest.raises(UsageError, match=r"no output 'features'.*probabilities, logits, cam, cam_class"):
        classifier.infer(np.zeros((1, 8, 8, 3), np.float32), ["features"])


def test_less_than_one_class_is_refused(classifier: Classifier, photo: Array) -> None:
    with pytest.raises(UsageError, match="at least one"):
        classifier.classify(photo, top=0)


def test_a_closed_classifier_says_so_and_closes_twice(toy_server: TritonServer, photo: Array) -> None:
    classifier = Classifier(toy_server.grpc_url, "toy")
    classifier.close()
    classifier.close()
    with pytest.raises(UsageError, match="is closed"):
        classifier.classify(photo)


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), dtype=np.uint8)
    expected = [classifier.classify(picture, cam=True).probabilities for picture in pictures]
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(20):
            if not np.allclose(classifier.classify(pictures[number]).probabilities, expected[number], atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture(scope="module")
def own_server(toy_repository: Path) -> Iterator[TritonServer]:
    with TritonServer(toy_repository) as server:
        yield server


def test_a_stopped_server_is_a_deadline_and_answers_again_when_it_goes_on(
    own_server: TritonServer, photo: Array
) -> None:
    with Classifier(own_server.grpc_url, "toy", timeout=1.0) as classifier:
        before = classifier.classify(photo)
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            for ask in (
                lambda: classifier.classify(photo),
                lambda: Classifier(own_server.grpc_url, "toy", timeout=1.0),
            ):
                start = time.monotonic()
                with pytest.raises(DeadlineError, match="within 1 s"):
                    ask()
                assert 0.9 <= time.monotonic() - start <= 1.0 + GRACE
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        assert classifier.classify(photo) == before


def test_a_server_that_has_gone_is_a_failed_connection(toy_repository: Path, photo: Array) -> None:
    with TritonServer(toy_repository) as server:
        classifier = Classifier(server.grpc_url, "toy")
        url = server.grpc_url
    start = time.monotonic()
    with classifier, pytest.raises(ConnectionFailedError, match=url):
        classifier.classify(photo)
    assert time.monotonic() - start <= 1.0
