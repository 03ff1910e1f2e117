"""`camserve classify` against a real server."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call, run
from support.disposable_server import DisposableServer
from support.toy import write_toy_bundle

from camserve.clients import Classifier, Crops, DecodeOptions
from camserve.serving import TritonServer, publish

pytestmark = pytest.mark.slow


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "photos" / "cat.png")


def write_image(path: Path, *, seed: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_classify_prints_the_answer_of_the_library(image: Path, toy_server: TritonServer) -> None:
    result = call("classify", image, "--model", "toy", "--url", toy_server.grpc_url, "--top", "2", "--json")
    assert result.returncode == 0, result.stderr
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(image, top=2)
    (answer,) = json.loads(result.stdout)
    assert answer["image"] == str(image)
    assert (answer["model"], answer["version"]) == ("toy", 1)
    assert [(one["index"], one["label"], one["probability"]) for one in answer["top"]] == [
        (one.index, one.label, one.probability) for one in expected.top
    ]


def test_classify_prints_a_table_for_each_image(image: Path, toy_server: TritonServer) -> None:
    result = call("classify", image, image, "--model", "toy", "--url", toy_server.grpc_url)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("probability") == 2
    assert result.stdout.count("class 0") == 2


def test_a_bad_image_is_reported_and_the_others_are_classified(image: Path, toy_server: TritonServer) -> None:
    bad = image.with_name("not\nan image.png")
    bad.write_bytes(b"GIF89a")
    missing = image.with_name("missing.png")
    url = toy_server.grpc_url
    result = call("classify", bad, image, missing, "--model", "toy", "--url", url, "--json")
    assert result.returncode == 3
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert ["error" in answer for answer in json.loads(result.stdout)] == [True, False, True]
    assert call("classify", bad, missing, "--model", "toy", "--url", url).returncode == 1


def test_images_of_the_same_name_get_maps_of_their_own(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    namesake = write_image(tmp_path / "other" / "cat.png")  # of the same name and the same class
    maps = tmp_path / "new" / "maps"
    arguments = ("--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps, "--json")
    result = call("classify", image, namesake, *arguments)
    assert result.returncode == 0, result.stderr
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        best = classifier.classify(image, cam=True).cams[0]
    documents = json.loads(result.stdout)
    for document in documents:
        assert (document["cam_class"], document["cam_peak"]) == (best.index, list(best.peak))
        assert document["cam_box"] == list(best.bbox() or ())
    written = [Path(answer["cam"]) for answer in documents]
    assert len(set(written)) == 2
    assert sorted(maps.iterdir()) == sorted(written)
    for path in written:
        with Image.open(path) as map_:
            assert map_.format == "PNG"
            assert min(map_.size) >= 224
            assert map_.tobytes() == best.overlay(image, size=(224, 224), caption=True).tobytes()
    second = call("classify", namesake, image, *arguments)
    assert [Path(answer["cam"]) for answer in json.loads(second.stdout)] == written[::-1]
    assert sorted(maps.iterdir()) == sorted(written)


def test_a_map_that_cannot_be_written_fails_only_its_image(
    image: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    long_name = image.rename(image.with_name(f"{'x' * 200}.png"))
    other = write_image(image.with_name("dog.png"))
    maps = tmp_path  # so deep that only the name of one map is too long
    while (missing := 3_990 - len(str(maps))) > 0:
        maps /= "d" * min(missing, 250)
    result = call(
        "classify", long_name, other, "--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps, "--json"
    )
    assert result.returncode == 3
    assert f"the map of {long_name} cannot be written to {maps}: File name too long" in result.stderr
    assert "hint: " in result.stderr
    first, second = json.loads(result.stdout)
    assert ("top" in first, "error" in first, "cam" in first) == (True, True, False)
    assert ("error" in second, "cam" in second) == (False, True)


def test_a_link_in_the_folder_of_the_maps_is_not_followed(
    image: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    arguments = ("--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", tmp_path / "maps", "--json")
    (first,) = (Path(answer["cam"]) for answer in json.loads(call("classify", image, *arguments).stdout))
    first.unlink()
    first.symlink_to(tmp_path / "elsewhere.png")
    (second,) = (Path(answer["cam"]) for answer in json.loads(call("classify", image, *arguments).stdout))
    assert second.name == f"{first.stem}-2.png"
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize("stem", ["x" * 250, "日" * 83])
def test_a_map_of_an_image_with_a_long_name_is_written(
    image: Path, toy_server: TritonServer, tmp_path: Path, stem: str
) -> None:
    image = image.rename(image.with_name(f"{stem}.png"))
    maps = tmp_path / "maps"
    result = call("classify", image, "--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", maps)
    assert result.returncode == 0, result.stderr
    assert len(list(maps.glob("*.png"))) == 1


def test_json_contains_the_identifier_of_a_class(image: Path, tmp_path: Path) -> None:
    labels = [f"n0{index}\tname {index}" if index else "plain" for index in range(4)]
    publish(write_toy_bundle(tmp_path / "bundle", labels=labels), tmp_path / "repository")
    with DisposableServer(tmp_path / "repository") as server:
        result = call("classify", image, "--model", "toy", "--url", server.grpc_url, "--json")
    (answer,) = json.loads(result.stdout)
    answer = {(one["index"], one["label"], one.get("identifier")) for one in answer["top"]}
    assert answer == {(0, "plain", None), *((index, f"name {index}", f"n0{index}") for index in range(1, 4))}


@pytest.mark.parametrize("command", ["classify", "score"])
def test_warnings_of_the_image_library_are_not_printed(
    image: Path, toy_server: TritonServer, tmp_path: Path, command: str
) -> None:
    see_through = image.with_name("palette.png")
    with Image.open(image) as opened:
        opened.quantize(16).save(see_through, transparency=bytes(range(16)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(see_through).convert("RGB")
    assert caught
    options = ("--output", tmp_path / "table.csv") if command == "score" else ()
    result = call(command, see_through, "--model", "toy", "--url", toy_server.grpc_url, *options)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_unknown_model_is_named(image: Path, toy_server: TritonServer) -> None:
    result = call("classify", image, "--model", "toyy", "--url", toy_server.grpc_url)
    assert result.returncode == 1
    unknown = f"error: unknown model 'toyy'; the server at {toy_server.grpc_url} has: toy"
    assert result.stderr.splitlines() == [unknown, "hint: Did you mean 'toy'?"]


def test_images_of_a_folder_are_classified_by_name(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a.jpg"):
        write_image(image.parent / name, seed=len(name))
    (image.parent / "notes.txt").write_text("no image")
    result = call("classify", image.parent, image, "--model", "toy", "--url", toy_server.grpc_url, "--json")
    assert result.returncode == 0, result.stderr
    expected = [image.parent / name for name in ("a.jpg", "b/10.png", "b/2.png", "cat.png")] + [image]
    assert [answer["image"] for answer in json.loads(result.stdout)] == [str(path) for path in expected]
    notes = image.parent / "notes.txt"
    assert f"Left out: 1 file that is not an image ('{notes}')" in result.stderr.splitlines()
    (tmp_path / "empty").mkdir()
    result = call("classify", tmp_path / "empty", "--model", "toy", "--url", toy_server.grpc_url)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no images found" in result.stderr


def test_standard_input_is_classified_like_the_file(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--json", "--cam-dir", tmp_path / "maps")
    result = run("classify", "-", image, *where, stdin=image)
    assert result.returncode == 0, result.stderr
    piped, read = json.loads(result.stdout)
    assert (piped["image"], piped["top"]) == ("-", read["top"])
    label = piped["top"][0]["label"].replace(" ", "_")
    assert [Path(answer["cam"]).name for answer in (piped, read)] == [f"stdin-{label}.png", f"cat-{label}.png"]
    assert Path(piped["cam"]).is_file()
    result = run("classify", "-", *where)
    assert result.returncode == 1
    assert "empty" in result.stderr
    assert run("classify", "-", "-", *where, stdin=image).returncode == 2


def test_a_file_named_dash_is_read_by_its_path(
    image: Path, toy_server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image.rename(tmp_path / "-")
    monkeypatch.chdir(tmp_path)
    result = call("classify", "./-", "--model", "toy", "--url", toy_server.grpc_url, "--json", "--cam-dir", "maps")
    assert result.returncode == 0, result.stderr
    (answer,) = json.loads(result.stdout)
    assert Path(answer["cam"]).name == f"--{answer['top'][0]['label'].replace(' ', '_')}.png"


def test_the_map_of_a_class_is_drawn_by_label_or_index(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--json", "--cam-dir", tmp_path)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        top = classifier.classify(image, top=4).top
    for class_ in (top[1].label, str(top[1].index)):
        (answer,) = json.loads(call("classify", image, *where, "--class", class_).stdout)
        assert answer["cam_class"] == top[1].index
        assert answer["top"][0]["index"] == top[0].index
        assert Path(answer["cam"]).name == f"cat-{top[1].label.replace(' ', '_')}.png"
    result = call("classify", image, *where, "--class", top[3].label)  # the toy has three maps
    assert result.returncode == 1
    assert f"{top[3].label!r} is not among them" in result.stderr
    assert "top" in json.loads(result.stdout)[0]


@pytest.mark.parametrize(("class_", "expected"), [("clas 1", "Did you mean 'class 1'"), ("4", "from 0 to 3")])
def test_an_unknown_class_is_wrong_usage(
    image: Path, toy_server: TritonServer, tmp_path: Path, class_: str, expected: str
) -> None:
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--cam-dir", tmp_path)
    result = call("classify", image, *where, "--class", class_)
    assert (result.returncode, result.stdout) == (2, "")
    assert expected in result.stderr


def test_crops_match_those_of_the_library(toy_server: TritonServer, tmp_path: Path) -> None:
    image = write_image(tmp_path / "large.png", size=(40, 60))
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--json", "--cam-dir", tmp_path / "maps")
    (answer,) = json.loads(call("classify", image, *where, "--crops", "5").stdout)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(image, cam=True, crops=Crops(count=5))
        whole = classifier.classify(image)
    assert [each["probability"] for each in answer["top"]] == [each.probability for each in expected.top]
    assert answer["top"][0]["probability"] != whole.top[0].probability
    assert answer["cam_peak"] == list(expected.cams[0].peak)
    with Image.open(answer["cam"]) as drawn:
        assert drawn.tobytes() == expected.cams[0].overlay(size=(224, 224), caption=True).tobytes()  # the crop alone
    second = expected.top[1].index
    (answer,) = json.loads(call("classify", image, *where, "--crops", "5", "--class", str(second)).stdout)
    assert (answer["cam_class"], answer["cam_peak"]) == (second, list(expected.cams[1].peak))
    small = write_image(tmp_path / "small.png", size=(7, 60))
    refused = call("classify", small, *where, "--crops", "5")
    assert refused.returncode == 1
    assert f"error: {small}: the image of 60 x 7 pixels is smaller" in refused.stderr


def test_exif_orientation_is_applied_with_exif(toy_server: TritonServer, tmp_path: Path) -> None:
    image = write_image(tmp_path / "photo.png", size=(10, 14))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(image) as photo:
        photo.save(image, exif=exif)
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--json")
    (answer,) = json.loads(call("classify", image, *where, "--exif").stdout)
    with Classifier(toy_server.grpc_url, "toy", decode_options=DecodeOptions(exif=True)) as classifier:
        assert answer["top"][0]["probability"] == classifier.classify(image).top[0].probability
    (answer,) = json.loads(call("classify", image, *where).stdout)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        assert answer["top"][0]["probability"] == classifier.classify(image).top[0].probability


def test_a_version_is_selected_by_its_number(image: Path, toy_server: TritonServer) -> None:
    where = ("--model", "toy", "--url", toy_server.grpc_url)
    assert call("classify", image, *where, "--version", "1").returncode == 0
    result = call("classify", image, *where, "--version", "7")
    assert result.returncode == 1
    assert "7" in result.stderr


def test_a_class_requires_a_folder_for_maps(tmp_path: Path) -> None:
    result = call("classify", tmp_path / "cat.png", "--model", "toy", "--class", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--class" in result.stderr
