"""Image files that are sent as they are: the answers and errors of a client that decodes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.disposable_server import DisposableServer
from support.image_files import draw, save, seeds

from camserve.bundle import Bundle
from camserve.clients import AsyncClassifier, Classification, Classifier, Crops, DecodeOptions, Pixels, score_table
from camserve.clients.answers.classification import Timings
from camserve.errors import ImageError, NotLoadedError, UsageError
from camserve.serving import TritonServer, publish

PNG = save(draw("RGB", (60, 40)), "PNG")


@pytest.fixture(scope="module")
def repository(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "repository"
    publish(toy_bundle, folder, options={"image_files": True})
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with DisposableServer(repository, model_control="explicit") as server:
        yield server


@pytest.fixture
def pixels(server: TritonServer) -> Iterator[Classifier]:
    with Classifier(server.grpc_url, "toy") as classifier:
        yield classifier


@pytest.fixture
def files(server: TritonServer) -> Iterator[Classifier]:
    with Classifier(server.grpc_url, "toy", send="files") as classifier:
        yield classifier


def _same(one: Classification, other: Classification) -> bool:
    untimed = Timings(0.0, 0.0, 0.0)
    same = replace(one, timings=untimed) == replace(other, timings=untimed)
    return same and one.url == other.url and np.array_equal(one.probabilities, other.probabilities)


def test_answers_are_those_of_a_client_that_decodes(files: Classifier, pixels: Classifier, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with (tmp_path / "a.png").open("rb") as stream:
        for image in (PNG, tmp_path / "a.png", str(tmp_path / "a.png"), stream):
            for top in (1, 3, 100):
                if image is stream:
                    stream.seek(0)
                assert _same(files.classify(image, top=top), pixels.classify(PNG, top=top))


def test_the_file_is_decoded_in_the_server(files: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("camserve.images.loading.OpenedImage.load", refuse)
    files.classify(PNG)
    assert len(list(files.classify_many([PNG] * 3))) == 3
    with pytest.raises(AssertionError):
        files.classify(PNG, cam=True)


def test_maps_and_other_inputs_are_sent_as_pixels(files: Classifier, pixels: Classifier) -> None:
    expected = pixels.classify(PNG, cam=True)
    found = files.classify(PNG, cam=True)
    assert np.array_equal(found.cams[0].grid, expected.cams[0].grid)
    with Image.open(Path(__file__).parent.parent.parent / "docs" / "gallery.png") as image:
        assert _same(files.classify(image), pixels.classify(image))
    array = Pixels(np.asarray(draw("RGB")), "rgb")
    assert _same(files.classify(array), pixels.classify(array))


def test_a_corrupt_file_is_the_same_error(files: Classifier, pixels: Classifier) -> None:
    for data in (PNG[:100], b"text", b"", PNG[:60] + b"!" * 40):
        errors = []
        for classifier in (files, pixels):
            with pytest.raises(ImageError) as caught:
                classifier.classify(data)
            errors.append((caught.value.message, caught.value.hint))
        assert errors[0] == errors[1]
    results = list(files.classify_many([PNG, b"text", PNG], errors="yield"))
    assert [type(each) for each in results] == [Classification, ImageError, Classification]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_table_is_the_same(server: TritonServer, tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, file in enumerate([*seeds()[:25], b"\x89PNG\r\n\x1a\n broken"]):
        (folder / f"{number:02}.png").write_bytes(file)
    tables = []
    for send in ("pixels", "files"):
        output = tmp_path / f"{send}.csv"
        notes: list[str] = []
        summary = score_table(
            [folder], output, model="toy", url=server.grpc_url, send=send, workers=workers, report=notes.append
        )
        assert (summary.rows, summary.errors) == (26, 1)
        assert any("toy_file decodes them" in note for note in notes) == (send == "files")
        tables.append(output.read_text())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maps": True}, "without maps and crops"),
        ({"crops": Crops(count=2)}, "without maps and crops"),
        ({"pin_version": True}, "a version is requested"),
        ({"decode_options": DecodeOptions(max_pixels=9)}, "decodes in the server"),
    ],
)
def test_a_table_that_needs_pixels_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(UsageError, match=message):
        score_table([tmp_path], tmp_path / "t.csv", model="toy", url="localhost:1", send="files", **options)


def test_orientation_is_that_of_the_decode_options(server: TritonServer, pixels: Classifier) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(draw("RGB", (60, 40)), "JPEG", exif=exif)
    options = DecodeOptions(exif=True)
    with (
        Classifier(server.grpc_url, "toy", send="files", decode_options=options) as files,
        Classifier(server.grpc_url, "toy", decode_options=options) as upright,
    ):
        assert _same(files.classify(turned), upright.classify(turned))
        assert not _same(files.classify(turned), pixels.classify(turned))


def test_asyncio_sends_files_too(server: TritonServer, pixels: Classifier) -> None:
    async def classify() -> list[Classification]:
        async with AsyncClassifier(server.grpc_url, "toy", send="files") as classifier:
            return [await classifier.classify(PNG), *[each async for each in classifier.classify_many([PNG, PNG])]]

    assert all(_same(each, pixels.classify(PNG)) for each in asyncio.run(classify()))


def test_the_version_that_answered_is_named(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"image_files": True})
    with (
        DisposableServer(tmp_path, model_control="explicit") as server,
        Classifier(server.grpc_url, "toy", send="files") as classifier,
    ):
        assert classifier.classify(PNG).version == "1"
        publish(toy_bundle, tmp_path, url=server.grpc_url)
        assert classifier.classify(PNG).version == "2"


def test_a_model_without_image_files_is_named(toy_server: TritonServer) -> None:
    with (
        Classifier(toy_server.grpc_url, "toy", send="files") as classifier,
        pytest.raises(NotLoadedError, match=r"model 'toy_file' at .* is not loaded") as caught,
    ):
        classifier.classify(PNG)
    assert "--image-files" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"send": "bytes"}, "unknown send 'bytes'"),
        ({"send": "files", "version": 1}, "a version is requested"),
        ({"send": "files", "pin_version": True}, "a version is requested"),
        ({"send": "files", "decode_options": DecodeOptions(max_bytes=5)}, "decodes in the server"),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Classifier("localhost:1", "toy", **options)
