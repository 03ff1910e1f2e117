"""Golden answers: storage and comparison."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy import expected_outputs, write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import BundleError
from camserve.golden import ROUNDINGS, Golden, compare, read_golden, tolerance_of, with_rounding, write_golden

TOLERANCE = 1e-4


@pytest.fixture
def golden(toy_bundle: Bundle) -> Golden:
    assert toy_bundle.golden_path is not None
    return read_golden(toy_bundle.golden_path, toy_bundle.contract)


def _changed(golden: Golden, **changes: Any) -> dict[str, Any]:
    return {name: changes[name](array.copy()) if name in changes else array for name, array in golden.answers.items()}


def test_file_is_read_back_and_deterministic(golden: Golden, toy_bundle: Bundle, tmp_path: Path) -> None:
    for name in "ab":
        write_golden(tmp_path / name, golden)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = read_golden(tmp_path / "a", toy_bundle.contract)
    np.testing.assert_array_equal(again.pixels, golden.pixels)
    for name, array in golden.answers.items():
        np.testing.assert_array_equal(again.answers[name], array)


def test_correct_answers_pass(golden: Golden, toy_bundle: Bundle) -> None:
    answers = expected_outputs(toy_bundle, golden.image(toy_bundle.contract))
    assert compare(golden, toy_bundle.contract, answers, tolerance=TOLERANCE) == ()


def test_image_is_preprocessed_by_the_contract(golden: Golden, toy_bundle: Bundle) -> None:
    image = golden.image(toy_bundle.contract)
    np.testing.assert_array_equal(image, golden.pixels.astype(np.float32) / np.float32(255))
    pixels = toy_bundle.contract.preprocessing.model_copy(update={"in_graph": True})
    assert golden.image(toy_bundle.contract.model_copy(update={"preprocessing": pixels})).dtype == np.uint8


@pytest.mark.parametrize(
    ("output", "change", "message"),
    [
        ("logits", lambda a: a * 1.01, r"^logits of image \d differs by"),
        ("probabilities", lambda a: a[:, ::-1], r"^probabilities of image \d differs by"),
        ("cam", lambda a: a + 0.1, r"^cam of image \d differs by"),
        ("cam_class", lambda a: a[:, ::-1], r"^cam_class of image \d is .*, expected"),
        ("cam_class", lambda a: a + 90, r"^cam_class has values from"),
        ("logits", lambda a: a * np.nan, "^logits contains NaN or infinity"),
        ("cam", lambda a: a[:, :1], "^cam has shape"),
    ],
)
def test_wrong_answer_is_reported(golden: Golden, toy_bundle: Bundle, output: str, change: Any, message: str) -> None:
    faults = compare(golden, toy_bundle.contract, _changed(golden, **{output: change}), tolerance=TOLERANCE)
    assert any(re.search(message, fault) for fault in faults), faults


def test_another_best_class_is_reported(golden: Golden, toy_bundle: Bundle) -> None:
    faults = compare(golden, toy_bundle.contract, _changed(golden, logits=np.negative), tolerance=TOLERANCE)
    assert any(fault.startswith("the best class of image") for fault in faults)


def test_missing_output_is_reported(golden: Golden, toy_bundle: Bundle) -> None:
    answers = {name: array for name, array in golden.answers.items() if name != "cam"}
    assert compare(golden, toy_bundle.contract, answers, tolerance=TOLERANCE) == ("cam is missing",)


def test_nearly_equal_classes_may_swap_ranks(toy_bundle: Bundle) -> None:
    contract = toy_bundle.contract
    logits = np.array([[1.0, 1.0 + 1e-6, 0.5, 0.1]], np.float32)
    maps = np.arange(3 * 16, dtype=np.float32).reshape(1, 3, 4, 4)
    swapped = maps[:, [1, 0, 2]]
    first = {"probabilities": logits, "logits": logits, "cam": maps, "cam_class": np.array([[1, 0, 2]], np.int32)}
    second = {**first, "cam": swapped, "cam_class": np.array([[0, 1, 2]], np.int32)}
    golden = Golden(np.zeros((1, 8, 8, 3), np.uint8), first)
    assert compare(golden, contract, second, tolerance=TOLERANCE) == ()
    assert compare(golden, contract, {**second, "cam": swapped + 9}, tolerance=TOLERANCE)


def test_recorded_changes_of_maps_are_added_to_the_tolerance(
    golden: Golden, toy_bundle: Bundle, tmp_path: Path
) -> None:
    changes = np.zeros((3, len(ROUNDINGS)), np.float32)
    changes[1] = range(1, 1 + len(ROUNDINGS))
    write_golden(tmp_path / "golden.npz", replace(golden, map_changes=changes))
    known = read_golden(tmp_path / "golden.npz", toy_bundle.contract)
    assert [known.map_change(rounding)[1] for rounding in ROUNDINGS] == changes[1].tolist()  # none is rounded up
    assert [known.map_change(rounding)[1] for rounding in (1e-5, 3e-4, 1.0)] == [1, 3, len(ROUNDINGS)]

    def faults(image: int, change: float, output: str = "cam") -> tuple[str, ...]:
        def moved(values: Any) -> Any:
            values[image] += change
            return values

        return compare(known, toy_bundle.contract, _changed(known, **{output: moved}), tolerance=TOLERANCE)

    assert faults(1, 0.9) == ()
    assert faults(1, 1.1) != ()
    assert faults(0, 0.9) != ()
    assert faults(1, 0.9, "logits") != ()


@pytest.mark.parametrize(
    ("wrong", "cosine"), [(np.zeros_like, "0.00"), (np.negative, "-1.00")], ids=["zeros", "negative"]
)
def test_other_maps_are_refused_whatever_they_may_change(
    golden: Golden, toy_bundle: Bundle, wrong: Any, cosine: str
) -> None:
    largest = float(np.abs(golden.answers["cam"]).max())
    known = replace(golden, map_changes=np.full((3, len(ROUNDINGS)), 3 * largest, np.float32))
    assert compare(known, toy_bundle.contract, _changed(known, cam=lambda maps: 1.1 * maps), tolerance=TOLERANCE) == ()
    (fault,) = compare(known, toy_bundle.contract, _changed(known, cam=wrong), tolerance=TOLERANCE)
    assert fault == f"cam is unlike the golden maps: mean cosine {cosine}, expected at least 0.3"


@pytest.mark.parametrize(
    "changes", [np.zeros((3, 1)), np.full((3, len(ROUNDINGS)), -1.0), np.full((3, len(ROUNDINGS)), np.inf)], ids=str
)
def test_invalid_changes_of_maps_are_refused(golden: Golden, toy_bundle: Bundle, tmp_path: Path, changes: Any) -> None:
    write_golden(tmp_path / "golden.npz", replace(golden, map_changes=changes.astype(np.float32)))
    with pytest.raises(BundleError, match="map_changes is not a change for each image and rounding"):
        read_golden(tmp_path / "golden.npz", toy_bundle.contract)


def test_answers_may_differ_by_twice_the_rounding_that_was_recorded(
    golden: Golden, toy_bundle: Bundle, tmp_path: Path
) -> None:
    contract = toy_bundle.contract
    float32 = _changed(golden, logits=lambda logits: 1.01 * logits, cam=lambda maps: 0.97 * maps)
    known = with_rounding(golden, contract, float32)
    assert known.rounding == pytest.approx(0.03)  # that of the maps, which is the largest
    write_golden(tmp_path / "golden.npz", known)
    known = read_golden(tmp_path / "golden.npz", contract)
    assert compare(golden, contract, float32, tolerance=TOLERANCE)
    assert compare(known, contract, float32, tolerance=TOLERANCE) == ()
    assert compare(known, contract, _changed(known, cam=lambda maps: 0.95 * maps), tolerance=TOLERANCE) == ()
    assert compare(known, contract, _changed(known, cam=lambda maps: 0.93 * maps), tolerance=TOLERANCE)


def test_the_rounding_of_maps_that_jump_is_not_recorded(golden: Golden, toy_bundle: Bundle) -> None:
    jumping = replace(golden, map_changes=np.ones((3, len(ROUNDINGS)), np.float32))
    others = _changed(golden, logits=lambda logits: 1.01 * logits, cam=lambda maps: -maps)
    assert with_rounding(jumping, toy_bundle.contract, others).rounding == pytest.approx(0.01)


@pytest.mark.parametrize("rounding", [-0.1, 0.6, np.nan, np.inf])
def test_an_invalid_rounding_is_refused(golden: Golden, toy_bundle: Bundle, tmp_path: Path, rounding: float) -> None:
    write_golden(tmp_path / "golden.npz", replace(golden, rounding=rounding))
    with pytest.raises(BundleError, match=r"rounding is not a number from 0 to 0\.5"):
        read_golden(tmp_path / "golden.npz", toy_bundle.contract)


def test_lower_precision_has_a_larger_tolerance() -> None:
    assert tolerance_of("fp32") < tolerance_of("fp16") < tolerance_of("bf16") < tolerance_of("int8 (cpu)")
    assert tolerance_of(None) == tolerance_of("fp32")


def _without(name: str, golden: Golden) -> dict[str, Any]:
    return {key: value for key, value in {"pixels": golden.pixels, **golden.answers}.items() if key != name}


@pytest.mark.parametrize(
    "damage",
    [
        "no zip",
        "cut",
        "compressed",
        "pickle",
        "no pixels",
        "no logits",
        "another size",
        "another type",
        "text",
        "twice",
    ],
)
def test_damaged_file_is_refused(golden: Golden, toy_bundle: Bundle, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, golden)
    if damage == "no zip":
        path.write_bytes(b"golden")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "compressed":
        np.savez_compressed(path, **_without("", golden))
    elif damage == "pickle":
        np.savez(path, **{**_without("", golden), "logits": np.array([{"a": 1}], dtype=object)})
    elif damage == "another type":
        np.savez(path, **{**_without("", golden), "logits": golden.answers["logits"].astype(np.float64)})
    elif damage == "text":
        np.savez(path, **{**_without("", golden), "logits": golden.answers["logits"].astype(str)})
    elif damage == "twice":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("logits.npy", archive.read("logits.npy"))
    elif damage == "no pixels":
        np.savez(path, **_without("pixels", golden))
    elif damage == "no logits":
        np.savez(path, **_without("logits", golden))
    else:
        np.savez(path, **{**_without("", golden), "pixels": golden.pixels[:, :4]})
    with pytest.raises(BundleError, match="Export the model again"):
        read_golden(path, toy_bundle.contract)


def test_encrypted_entry_is_refused(golden: Golden, toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, golden)
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):  # the flags of the first entry
        content[start] |= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="cannot read the golden answers"):
        read_golden(path, toy_bundle.contract)


def test_missing_file_is_reported(toy_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the golden answers"):
        read_golden(tmp_path / "none.npz", toy_bundle.contract)


def test_entries_are_not_compressed(toy_bundle: Bundle) -> None:
    assert toy_bundle.golden_path is not None
    with zipfile.ZipFile(toy_bundle.golden_path) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_gray_images_are_supported(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle", channels=1, size=(9, 7))
    assert bundle.golden_path is not None
    assert read_golden(bundle.golden_path, bundle.contract).pixels.shape == (3, 9, 7, 1)


@pytest.mark.parametrize("number", [-1, 4])
def test_maps_of_unknown_classes_are_refused(golden: Golden, toy_bundle: Bundle, tmp_path: Path, number: int) -> None:
    classes = np.full_like(golden.answers["cam_class"], number)
    write_golden(tmp_path / "golden.npz", Golden(golden.pixels, {**golden.answers, "cam_class": classes}))
    with pytest.raises(BundleError, match="cam_class is not from 0 to 3"):
        read_golden(tmp_path / "golden.npz", toy_bundle.contract)
