"""Maps and overlays of scored rows, and what is done again when an interrupted run goes on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.stub_server import StubServer, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier, Crops, DecodeOptions, ScoredRow, score, write_table
from camserve.clients.answers.map_drawing import draw_map
from camserve.clients.scoring.chunk_scorer import ChunkScorer
from camserve.clients.scoring.engine_choice import open_engine
from camserve.clients.scoring.inputs.sources import BytesSource
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.overlays import has_overlay
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedAnswerer, ServedOptions
from camserve.contract.outputs import expected_outputs
from camserve.errors import ClientError, UsageError
from camserve.serving import TritonServer

EXIF = DecodeOptions(exif=True)


def photo(seed: int) -> bytes:
    """A JPEG file that is upright only if its EXIF orientation is applied."""
    pixels = np.random.default_rng(seed).integers(0, 256, (90, 120 + seed, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def items(count: int) -> list[Item]:
    return [
        Item(f"photos/cats/{place}.jpg", f"cats/{place}.jpg", BytesSource("image", photo(place)))
        for place in range(count)
    ]


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy", decode_options=EXIF) as opened:
        yield opened


def scored(classifier: Classifier, given: list[Item], options: RowOptions) -> list[ScoredRow]:
    answerer = ServedAnswerer(classifier)
    try:
        return ChunkScorer(answerer, options)(given)
    finally:
        answerer.close()


def test_maps_of_a_chunk_equal_those_of_single_images(classifier: Classifier) -> None:
    rows = scored(
        classifier,
        [*items(4), Item("bad", "bad", BytesSource("image", b""))],
        RowOptions(maps=True, decode_options=EXIF),
    )
    for place, row in enumerate(rows[:-1]):
        cam = classifier.cam(photo(place))
        assert row.map is not None
        assert (row.map.peak, row.map.box, row.map.area) == (cam.peak, cam.bbox(), cam.placement.box)
        assert row.map.grid == pytest.approx(cam.grid, abs=1e-6)
        assert cam.placement.original == (120 + place, 90)
    assert (rows[-1].map, rows[-1].error) == (None, "image is empty. Get it again from its source")


def test_overlays_equal_those_of_classify(classifier: Classifier, tmp_path: Path) -> None:
    rows = scored(classifier, items(3), RowOptions(overlay_folder=str(tmp_path), decode_options=EXIF))
    assert [row.map for row in rows] == [None] * 3
    for place in range(3):
        with Image.open(tmp_path / "cats" / f"{place}.jpg.png") as drawn:
            expected = draw_map(classifier.classify(photo(place), cam=True).cams[0], photo(place))
            difference = np.asarray(drawn, int) - np.asarray(expected, int)
        assert np.abs(difference[: 2 * (120 + place)]).max() <= 1  # without the caption
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_only_missing_overlays_are_drawn_again(classifier: Classifier, tmp_path: Path) -> None:
    options = RowOptions(overlay_folder=str(tmp_path), decode_options=EXIF)
    given = items(4)
    rows = scored(classifier, given, options)
    files = sorted((tmp_path / "cats").iterdir())
    before = [path.stat().st_ino for path in files]
    files[1].unlink()
    files[2].write_bytes(files[3].read_bytes())  # the overlay of another image
    recorded = [item.with_record(replace(row, top=row.top[:1])) for item, row in zip(given, rows, strict=True)]
    again = scored(classifier, recorded, options)
    assert [len(row.top) for row in again] == [1, 4, 4, 1]  # recorded rows have one class here
    assert [files[place].stat().st_ino for place in (0, 3)] == [before[place] for place in (0, 3)]
    assert [has_overlay(row, tmp_path) for row in rows] == [True] * 4


def test_an_overlay_that_cannot_be_written_ends_the_run(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "cats").touch()
    with pytest.raises(ClientError, match=r"cats/0\.jpg\.png cannot be written"):
        scored(classifier, items(2), RowOptions(overlay_folder=str(tmp_path)))


@pytest.mark.parametrize("options", [RowOptions(maps=True), RowOptions(overlay_folder="maps")])
def test_a_model_without_maps_is_refused_before_any_image_is_read(options: RowOptions) -> None:
    contract = toy_contract().model_copy(update={"cam": None, "outputs": expected_outputs(4, None)})
    with (
        StubServer(contract, lambda _, count: correct_answer(contract, count)) as server,
        Classifier(server.url, "toy") as classifier,
    ):
        refusal = r"model 'toy' has no maps\. Leave out --maps and --overlays"
        with pytest.raises(UsageError, match=refusal):
            ChunkScorer(ServedAnswerer(classifier), options)
        with (
            pytest.raises(UsageError, match=refusal),
            open_engine(ServedOptions(server.url, "toy"), options, workers=1),
        ):
            pass


def test_an_average_of_crops_has_no_map() -> None:
    for settings in ({"maps": True}, {"overlay_folder": "maps"}):
        with pytest.raises(UsageError, match="the average of crops has no map"):
            RowOptions(crops=Crops(choose="average"), **settings)


@pytest.mark.parametrize("workers", [0, 1])
def test_every_engine_returns_maps_and_writes_overlays_once(
    toy_server: TritonServer, tmp_path: Path, workers: int
) -> None:
    paths = [tmp_path / f"{place}.jpg" for place in range(3)]
    for place, path in enumerate(paths):
        path.write_bytes(photo(place))
    options = RowOptions(maps=True, overlay_folder=str(tmp_path / "overlays"))
    with open_engine(ServedOptions(toy_server.grpc_url, "toy"), options, workers=workers) as engine:
        rows = list(engine.rows(item_of_file(path, path.name) for path in paths))
    drawn = [path.stat().st_ino for path in sorted((tmp_path / "overlays").iterdir())]
    recorded = [item_of_file(path, path.name).with_record(row) for path, row in zip(paths, rows, strict=True)]
    with open_engine(ServedOptions(toy_server.grpc_url, "toy"), options, workers=workers) as engine:
        assert list(engine.rows(recorded)) == rows
    assert [path.stat().st_ino for path in sorted((tmp_path / "overlays").iterdir())] == drawn
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        for path, row in zip(paths, rows, strict=True):
            assert row.map is not None
            assert row.map.grid == pytest.approx(classifier.cam(path).grid, abs=1e-6)
            assert has_overlay(row, tmp_path / "overlays")


def test_score_returns_maps_and_writes_overlays(classifier: Classifier, tmp_path: Path) -> None:
    paths = [tmp_path / f"{place}.jpg" for place in range(2)]
    for place, path in enumerate(paths):
        path.write_bytes(photo(place))
    folder = tmp_path / "new" / "overlays"
    write_table(tmp_path / "answers.csv", score(classifier, paths, maps=True, overlays=folder), maps=True)
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 3
    assert len(list(folder.rglob("*.png"))) == 2
