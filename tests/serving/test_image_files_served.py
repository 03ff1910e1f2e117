"""The model that takes image files, in a real Triton: the same answers and errors as those of the client."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from support.chaos import times
from support.disposable_server import DisposableServer
from support.image_files import draw, mutants, save, seeds
from support.toy import expected_outputs, write_toy_bundle
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.clients.answers.map_drawing import draw_map
from camserve.errors import ClientError
from camserve.images import load_image, prepare
from camserve.serving import TritonServer, publish
from camserve.serving.live.backend_messages import split_hint
from camserve.serving.repository.prune import prune
from camserve.serving.repository.verify import verify_repository

JPEG = save(draw("RGB", (64, 48)), "JPEG")
ALL = ("label", "probability", "index", "version", "probabilities", "cam", "cam_class", "overlay")
MUTANTS = times(20_000)
SWAPS = max(3, times(20))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    bundle = write_toy_bundle(folder / "bundle", size=(9, 7), classes=5, labels=["ä", "b", "c\u4e2d", "d", "e"])
    publish(bundle, folder / "repository", options={"image_files": True})
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with DisposableServer(repository, model_control="explicit") as server:
        yield server


@pytest.fixture
def classifier(server: TritonServer) -> Iterator[Classifier]:
    with Classifier(server.grpc_url, "toy") as opened:
        yield opened


@pytest.fixture
def grpc(server: TritonServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_url) as client:
        yield client


def _infer(
    client: Any, *files: bytes, outputs: tuple[str, ...] = (), model: str = "toy_file", **parameters: Any
) -> dict[str, Any]:
    tensor = triton.InferInput("image_file", [len(files), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file] for file in files], np.object_))
    requested = [triton.InferRequestedOutput(name) for name in outputs] or None
    result = client.infer(model, [tensor], outputs=requested, parameters=parameters or None)
    return {each.name: result.as_numpy(each.name) for each in result.get_response().outputs}


def _classified(classifier: Classifier, file: bytes) -> list[float] | tuple[str, str | None]:
    """Return the best probabilities by the client, or its error."""
    try:
        return [each.probability for each in classifier.classify(file).top]
    except ClientError as error:
        return error.message, error.hint


def _served(client: Any, file: bytes) -> list[float] | tuple[str, str | None]:
    """Return the best probabilities by the server, or its error."""
    try:
        return list(_infer(client, file)["probability"][0].tolist())
    except InferenceServerException as error:
        return split_hint(error.message())


def _same_as_client(found: Mapping[str, Any], classifier: Classifier, file: bytes) -> None:
    expected = classifier.classify(file, top=5, cam=True)
    assert [each.decode() for each in found["label"][0]] == [each.label for each in expected.top]
    assert found["index"][0].tolist() == [each.index for each in expected.top]
    assert found["probability"][0].tolist() == [each.probability for each in expected.top]
    assert np.array_equal(found["probabilities"][0], expected.probabilities)
    assert np.array_equal(found["cam"][0], np.stack([cam.grid for cam in expected.cams]))
    assert found["cam_class"][0].tolist() == [cam.index for cam in expected.cams]


def test_every_format_gives_the_answers_of_the_client(grpc: Any, classifier: Classifier) -> None:
    outputs = ALL[:-1]
    for file in seeds():
        try:
            classifier.classify(file)
        except ClientError:
            continue
        _same_as_client(_infer(grpc, file, outputs=outputs), classifier, file)
        _same_as_client(_infer(grpc, base64.b64encode(file), outputs=outputs), classifier, file)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_corrupt_files_give_the_answers_or_errors_of_the_client(grpc: Any, classifier: Classifier) -> None:
    answered = refused = 0
    for file in mutants(seeds(), MUTANTS, seed=1):
        if not file:
            continue
        by_client, by_server = _classified(classifier, file), _served(grpc, file)
        assert by_client == by_server
        answered += isinstance(by_client, list)
        refused += isinstance(by_client, tuple)
    assert min(answered, refused) > MUTANTS / 8


def test_an_empty_file_is_refused(grpc: Any) -> None:
    with pytest.raises(InferenceServerException, match="the image of 0 bytes is empty; hint: Check the source"):
        _infer(grpc, b"")


def test_overlay_is_the_drawing_of_the_client(grpc: Any, classifier: Classifier) -> None:
    drawing = draw_map(classifier.classify(JPEG, cam=True).cams[0], JPEG)
    (png,) = _infer(grpc, JPEG, outputs=("overlay",))["overlay"][0]
    (text,) = _infer(grpc, base64.b64encode(JPEG), outputs=("overlay",))["overlay"][0]
    assert base64.b64decode(text) == png
    with Image.open(io.BytesIO(png)) as image:
        assert np.array_equal(np.asarray(image), np.asarray(drawing))


def test_parameters_select_classes_outputs_and_orientation(grpc: Any, classifier: Classifier) -> None:
    assert set(_infer(grpc, JPEG)) == set(ALL[:4])
    assert _infer(grpc, JPEG, top=2)["index"].shape == (1, 2)
    assert set(_infer(grpc, JPEG, probabilities=True, maps=True)) == set(ALL[:-1])
    assert set(_infer(grpc, JPEG, overlay=True)) == {*ALL[:4], "overlay"}
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(draw("RGB", (64, 48)), "JPEG", exif=exif)
    upright, as_stored = (_infer(grpc, turned, outputs=("probabilities",), exif=each) for each in (True, False))
    assert not np.array_equal(upright["probabilities"], as_stored["probabilities"])
    assert np.array_equal(as_stored["probabilities"][0], classifier.classify(turned).probabilities)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"topp": 3}, "unknown parameter 'topp'; hint: Use top, probabilities, maps, overlay or exif"),
        ({"top": 0}, "top must be at least 1, got 0"),
        ({"exif": "yes"}, "invalid type for exif: str; hint: Pass true or false"),
    ],
)
def test_invalid_parameters_are_refused(grpc: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InferenceServerException, match=message):
        _infer(grpc, JPEG, **parameters)


def test_several_files_of_a_request_are_answered_in_order(grpc: Any, classifier: Classifier) -> None:
    files = [save(draw(mode, (30, 20)), "PNG") for mode in ("RGB", "L", "P", "RGBA")]
    found = _infer(grpc, *files, outputs=("label", "cam", "overlay"))
    for place, file in enumerate(files):
        expected = classifier.classify(file, cam=True)
        assert [each.decode() for each in found["label"][place]] == [each.label for each in expected.top]
        assert np.allclose(found["cam"][place], np.stack([cam.grid for cam in expected.cams]), atol=1e-5)
    with pytest.raises(InferenceServerException, match=r"image 2 of 3 is not an image of a supported format"):
        _infer(grpc, files[0], b"no image, and not base64", files[1])


def test_a_bad_file_is_an_error_of_its_own_request_alone(server: TritonServer, classifier: Classifier) -> None:
    expected = [each.probability for each in classifier.classify(JPEG).top]

    def query(number: int) -> Any:
        with triton.InferenceServerClient(server.grpc_url) as client:
            try:
                return _infer(client, JPEG if number % 3 else JPEG[:200], top=5)["probability"][0].tolist()
            except InferenceServerException as error:
                return error.message()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(query, range(90)))
    assert all(np.allclose(each, expected, atol=1e-6) for each in answers[1::3] + answers[2::3])
    assert all("is corrupt or truncated" in each for each in answers[::3])


def _post(server: TritonServer, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    url = f"http://{server.http_url}/v2/models/toy_file/{path}"
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_generate_takes_base64_text_and_returns_flat_json(server: TritonServer, classifier: Classifier) -> None:
    image = base64.b64encode(JPEG).decode()
    status, body = _post(server, "generate", json.dumps({"image_file": image}).encode())
    answer, expected = json.loads(body), classifier.classify(JPEG)
    assert status == 200
    assert answer.keys() == {*ALL[:4], "model_name", "model_version"}
    assert answer["label"] == [each.label for each in expected.top]
    status, body = _post(server, "generate", json.dumps({"image_file": image, "top": 1, "overlay": True}).encode())
    answer = json.loads(body)
    overlay = answer["overlay"][0] if isinstance(answer["overlay"], list) else answer["overlay"]
    assert base64.b64decode(overlay).startswith(b"\x89PNG")
    status, body = _post(server, "generate", json.dumps({"image_file": image[:-5]}).encode())
    assert status == 400
    assert "characters of base64 text is incomplete" in json.loads(body)["error"]


def test_raw_binary_request_takes_the_file_as_it_is(server: TritonServer, classifier: Classifier) -> None:
    status, body = _post(server, "infer", JPEG, Inference_Header_Content_Length="0", Content_Type="image/jpeg")
    header, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    assert status == 200
    assert [each["name"] for each in header["outputs"]] == list(ALL[:4])


def test_each_answer_is_of_one_version_during_swaps(tmp_path: Path) -> None:
    bundles = [write_toy_bundle(tmp_path / str(seed), seed=seed, size=(8 + seed, 8)) for seed in range(SWAPS)]
    repository, stop = tmp_path / "repository", threading.Event()
    publish(bundles[0], repository, options={"image_files": True})
    expected = {
        str(number): expected_outputs(bundle, prepare(load_image(JPEG), bundle.contract)[np.newaxis])["probabilities"][
            0
        ]
        for number, bundle in enumerate(bundles, start=1)
    }
    answers: list[tuple[str, float]] = []

    def query(url: str) -> None:
        with triton.InferenceServerClient(url) as client:
            while not stop.is_set():
                found = _infer(client, JPEG, outputs=("version", "probabilities"))
                version = str(found["version"][0, 0])
                answers.append((version, float(np.abs(found["probabilities"][0] - expected[version]).max())))

    with DisposableServer(repository, model_control="explicit") as server, ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(query, server.grpc_url) for _ in range(4)]
        try:
            for number, bundle in enumerate(bundles, start=1):
                if number > 1:
                    publish(bundle, repository, url=server.grpc_url, allow_contract_change=True)
                _wait_for(str(number), answers, clients)
                prune(repository, keep=1)
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert {version for version, _ in answers} == set(expected)
    assert max(difference for _, difference in answers) < 1e-6
    assert verify_repository(repository).faults == ()


def _wait_for(version: str, answers: list[tuple[str, float]], clients: list[Future[None]]) -> None:
    deadline = time.monotonic() + 30
    while not any(each == version for each, _ in answers[-8:]):
        assert not any(client.done() and client.result() for client in clients)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_loaded_with_its_selected_model_alone(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"image_files": True})
    publish(toy_bundle, tmp_path, name="other", options={"image_files": True})
    with DisposableServer(tmp_path, model_control="explicit", models=("toy",)) as server:
        assert server.served() == {"toy": (1,), "toy_file": (1,)}


def test_the_model_leaves_a_server_with_the_option(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"image_files": True})
    with DisposableServer(tmp_path, model_control="explicit") as server:
        publish(toy_bundle, tmp_path, url=server.grpc_url, options={"image_files": False})
        assert server.served() == {"toy": (2,)}


def test_without_its_model_it_is_ready_and_refuses_requests(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"image_files": True})
    publish(toy_bundle, tmp_path, name="other")
    shutil.rmtree(tmp_path / "toy")  # as if a publisher had been killed before it added the version
    with (
        DisposableServer(tmp_path, model_control="explicit") as server,
        triton.InferenceServerClient(server.grpc_url) as client,
    ):
        with pytest.raises(InferenceServerException, match="model toy is not served with image files") as failure:
            _infer(client, JPEG)
        assert failure.value.status() == "StatusCode.NOT_FOUND"  # no error of the file: clients may retry elsewhere
        publish(toy_bundle, tmp_path, options={"image_files": True}, url=server.grpc_url)
        assert _infer(client, JPEG)["label"].shape == (1, 4)
