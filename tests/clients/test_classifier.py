from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from support.disposable_server import DisposableServer
from support.stub_server import StubServer, correct_answer
from support.suspending import suspended
from support.toy import expected_outputs

from camserve.bundle import Bundle
from camserve.clients import Classifier, load_image, prepare
from camserve.contract import ModelContract
from camserve.errors import (
    ConnectionFailedError,
    DeadlineError,
    RequestError,
    UsageError,
)
from camserve.images.crops import Crops, crop_image
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer

Array = np.ndarray[Any, Any]

GRACE = 0.5


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy") as opened:
        yield opened


@pytest.fixture(scope="module")
def pixels() -> Array:
    array: Array = load_sample_image("china.jpg")
    return array


@pytest.fixture(scope="module")
def photo(pixels: Array) -> Pixels:
    return Pixels(pixels, "rgb")


def test_answer_equals_the_model_on_keras_preprocessing(
    classifier: Classifier, toy_bundle: Bundle, pixels: Array
) -> None:
    from keras.utils import img_to_array

    fitted = Image.fromarray(pixels).resize((8, 8), Image.Resampling.NEAREST)
    batch = (img_to_array(fitted) / 255)[np.newaxis]
    expected = {name: array[0] for name, array in expected_outputs(toy_bundle, batch).items()}
    result = classifier.classify(Pixels(pixels, "rgb"), top=4, cam=True)
    order = expected["probabilities"].argsort()[::-1].tolist()
    assert np.abs(result.probabilities - expected["probabilities"]).max() <= 1e-6
    assert [each.index for each in result.top] == order
    assert [each.label for each in result.top] == [f"class {index}" for index in order]
    assert [each.probability for each in result.top] == [float(result.probabilities[index]) for index in order]
    assert [each.index for each in result.cams] == expected["cam_class"].tolist() == order[:3]
    for found, grid in zip(result.cams, expected["cam"], strict=True):
        assert found.grid.dtype == np.float32
        assert np.abs(found.grid - grid).max() <= 1e-5
        assert found.label == f"class {found.index}"
        assert found.probability == float(result.probabilities[found.index])
    assert (result.model, result.version) == ("toy", "1")


def test_all_kinds_of_image_input_give_the_same_answer(
    classifier: Classifier, pixels: Array, photo: Pixels, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    sources = (path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), Image.open(path), photo)
    answers = [classifier.classify(each) for each in (*sources, Pixels(pixels[:, :, ::-1], "bgr"))]
    assert all(answer == answers[0] for answer in answers)
    assert all(np.array_equal(answer.probabilities, answers[0].probabilities) for answer in answers)


def test_infer_returns_outputs_of_the_whole_batch(classifier: Classifier, toy_bundle: Bundle, pixels: Array) -> None:
    images = [Pixels(array, "rgb") for array in (pixels, pixels[::-1], pixels[:, ::-1])]
    batch = np.stack([classifier.prepare(image) for image in images])
    assert np.array_equal(batch[0], prepare(load_image(images[0]), toy_bundle.contract))
    expected = expected_outputs(toy_bundle, batch)
    answer = classifier.infer(batch, ["logits", "cam"])
    assert list(answer) == ["logits", "cam"]
    for name, array in answer.items():
        assert np.abs(array - expected[name]).max() <= 1e-5


def test_maps_are_returned_on_request_up_to_top(classifier: Classifier, photo: Pixels) -> None:
    assert classifier.classify(photo).cams == ()
    assert len(classifier.classify(photo, top=2, cam=True).cams) == 2
    assert len(classifier.classify(photo, top=4, cam=True).cams) == 3


def test_contract_and_labels_come_from_the_server(classifier: Classifier, toy_bundle: Bundle) -> None:
    assert classifier.contract == toy_bundle.contract
    assert classifier.labels == toy_bundle.labels
    assert classifier.is_ready()
    assert classifier.versions() == ("1",)


def test_logits_and_map_methods(classifier: Classifier, toy_bundle: Bundle, photo: Pixels) -> None:
    expected = expected_outputs(toy_bundle, classifier.prepare(photo)[np.newaxis])
    logits, best = classifier.logits(photo), expected["cam_class"][0].tolist()
    assert (logits.dtype, logits.shape) == (np.float32, (4,))
    assert np.abs(logits - expected["logits"][0]).max() <= 1e-5
    assert classifier.cam(photo).index == best[0]
    for rank, index in enumerate(best):
        found = classifier.cam(photo, index)
        assert np.abs(found.grid - expected["cam"][0][rank]).max() <= 1e-5
        assert classifier.cam(photo, f"class {index}").index == index
    (last,) = {0, 1, 2, 3} - set(best)
    with pytest.raises(
        UsageError, match=rf"the 3 most probable classes of an image, without class {last} \(class {last}\)"
    ) as caught:
        classifier.cam(photo, last)
    assert ", ".join(f"{index} (class {index})" for index in best) in str(caught.value)
    assert "--cam-all" in str(caught.value)


def test_classify_returns_the_map_of_the_requested_class(classifier: Classifier, photo: Pixels) -> None:
    plain = classifier.classify(photo, top=4)
    best, last = plain.top[0].index, plain.top[3].index
    for index in (best, plain.top[1].index):
        found = classifier.classify(photo, top=1, cam=True, class_=index)
        (cam,) = found.cams
        assert (found.top, cam.index) == (plain.top[:1], index)
        assert np.array_equal(cam.grid, classifier.cam(photo, index).grid)
    answers = list(classifier.classify_many([photo, photo], cam=True, class_=f"class {last}"))
    assert [(answer.top[0].index, answer.cams) for answer in answers] == [(best, ()), (best, ())]
    for wrong in (4, "class 4"):
        with pytest.raises(UsageError, match="no class"):
            list(classifier.classify_many([photo], cam=True, class_=wrong))


def test_crops_replace_the_image(classifier: Classifier, photo: Pixels) -> None:
    crops = Crops(count=6, seed=1)
    parts = crop_image(load_image(photo), classifier.contract, crops)
    answers = [classifier.classify(part.image, cam=True) for part in parts]
    surest = max(range(6), key=lambda place: answers[place].top[0].probability)
    found = classifier.classify(photo, cam=True, crops=crops)
    assert np.allclose(found.probabilities, answers[surest].probabilities, atol=1e-6)
    assert found.cams[0].placement == parts[surest].placement
    mean = np.mean([answer.probabilities for answer in answers], axis=0)
    averaged = classifier.classify(photo, crops=Crops(count=6, seed=1, choose="average"))
    assert np.allclose(averaged.probabilities, mean, atol=1e-6)


def test_timings_add_up(classifier: Classifier, photo: Pixels, toy_server: TritonServer) -> None:
    plain = classifier.classify(photo)
    assert (plain.timings.queue, plain.timings.compute, plain.timings.network) == (None, None, None)
    assert plain.url == toy_server.grpc_url
    spent = classifier.classify(photo, timings=True).timings
    assert min(spent.prepare, spent.call, spent.read) > 0
    assert spent.queue is not None
    assert spent.compute is not None
    assert spent.network is not None
    assert spent.queue >= 0
    assert spent.compute > 0
    assert spent.network == pytest.approx(max(0.0, spent.call - spent.queue - spent.compute))


def test_several_servers_share_the_requests(toy_repository: Path, toy_server: TritonServer, photo: Pixels) -> None:
    with DisposableServer(toy_repository) as other:
        urls = (toy_server.grpc_url, other.grpc_url)
        for url in (urls, ",".join(urls)):
            with Classifier(url, "toy") as classifier:
                assert classifier.urls == urls
                assert {classifier.classify(photo).url for _ in range(8)} == set(urls)
                assert classifier.classify(photo, timings=True).timings.compute is not None


def test_contract_of_an_older_version_is_accepted(toy_bundle: Bundle, photo: Pixels) -> None:
    older = json.loads(toy_bundle.contract.to_json())
    del older["cam"]["all_classes"]
    contract = ModelContract.model_validate(older)
    answer = correct_answer(contract)
    server = StubServer(contract, lambda names, count: {name: answer[name] for name in names})
    with server, Classifier(server.url, "toy") as classifier:
        assert classifier.cam(photo, "b").index == 1
        with pytest.raises(UsageError, match="--cam-all"):
            classifier.cam(photo, "d")


def test_requested_version_answers(toy_server: TritonServer, photo: Pixels) -> None:
    with Classifier(toy_server.grpc_url, "toy", version="1") as classifier:
        assert classifier.classify(photo).version == "1"
    with pytest.raises(RequestError, match=r"no version 2; the server at .* has: 1"):
        Classifier(toy_server.grpc_url, "toy", version="2")


def test_unknown_model_is_named_in_the_error(toy_server: TritonServer) -> None:
    with pytest.raises(RequestError, match=r"unknown model 'cat'; the server at .* has: toy") as caught:
        Classifier(toy_server.grpc_url, "cat")
    assert toy_server.grpc_url in str(caught.value)
    assert caught.value.hint


def test_http_port_is_reported(toy_server: TritonServer) -> None:
    with pytest.raises(ConnectionFailedError, match="gRPC port"):
        Classifier(toy_server.http_url, "toy")


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 8, 8, 3), np.float64),
        np.zeros((1, 8, 8, 3), ">f4"),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((0, 8, 8, 3), np.float32),
        np.full((1, 8, 8, 3), np.nan, np.float32),
    ],
    ids=["dtype", "byte order", "rank", "NCHW", "empty", "NaN"],
)
def test_wrong_batch_is_refused_before_it_is_sent(toy_bundle: Bundle, batch: Array) -> None:
    with StubServer(toy_bundle.contract, lambda names, count: {}) as server:
        with Classifier(server.url, "toy") as classifier, pytest.raises(UsageError):
            classifier.infer(batch, ["logits"])
        assert server.batch_sizes == []


def test_unknown_output_is_a_usage_error(classifier: Classifier) -> None:
    with pytest.raises(UsageError, match=r"no output 'features'.*probabilities, logits, cam, cam_class"):
        classifier.infer(np.zeros((1, 8, 8, 3), np.float32), ["features"])


def test_top_below_one_is_refused(classifier: Classifier, photo: Pixels) -> None:
    with pytest.raises(UsageError, match="top must be at least 1, got 0"):
        classifier.classify(photo, top=0)


def test_closed_classifier_raises_and_closes_twice(toy_server: TritonServer, photo: Pixels) -> None:
    classifier = Classifier(toy_server.grpc_url, "toy")
    classifier.close()
    classifier.close()
    with pytest.raises(UsageError, match="is closed"):
        classifier.classify(photo)


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), dtype=np.uint8)
    images = [Pixels(array, "rgb") for array in arrays]
    expected = [classifier.classify(image, cam=True).probabilities for image in images]
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(20):
            if not np.allclose(classifier.classify(images[number]).probabilities, expected[number], atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def own_server(toy_repository: Path) -> Iterator[TritonServer]:
    with DisposableServer(toy_repository) as server:
        yield server


@pytest.mark.timed
def test_suspended_server_is_a_deadline_error_until_it_resumes(own_server: TritonServer, photo: Pixels) -> None:
    with Classifier(own_server.grpc_url, "toy", timeout=1.0) as classifier:
        before = classifier.classify(photo)
        with suspended(own_server):
            for call in (
                lambda: classifier.classify(photo),
                lambda: Classifier(own_server.grpc_url, "toy", timeout=1.0),
            ):
                start = time.monotonic()
                with pytest.raises(DeadlineError, match="within 1 s"):
                    call()
                assert 0.9 <= time.monotonic() - start <= 1.0 + GRACE
        assert classifier.classify(photo) == before


@pytest.mark.timed
def test_stopped_server_is_a_connection_error(toy_repository: Path, photo: Pixels) -> None:
    with DisposableServer(toy_repository) as server:
        classifier = Classifier(server.grpc_url, "toy", retries=1)
        url = server.grpc_url
    start = time.monotonic()
    with classifier, pytest.raises(ConnectionFailedError, match=rf"{url}.*\(2 attempts\)"):
        classifier.classify(photo)
    assert time.monotonic() - start <= 10.0  # after all attempts
