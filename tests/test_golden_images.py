"""Golden images: files with expected answers, stored in a bundle and decoded again."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy import add_golden_images, expected_outputs, write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import BundleError
from camserve.expected_answers import ExpectedAnswers
from camserve.golden_images import read_golden_images, write_golden_images


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return add_golden_images(write_toy_bundle(tmp_path / "bundle"))


def test_written_images_are_read_back_and_have_the_expected_answers(bundle: Bundle, tmp_path: Path) -> None:
    golden = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    write_golden_images(tmp_path / "again.npz", golden)
    assert (tmp_path / "again.npz").read_bytes() == (bundle.path / "golden_images.npz").read_bytes()
    assert golden.faults(expected_outputs(bundle, golden.image(bundle.contract))) == ()


def test_absolute_paths_are_not_stored(bundle: Bundle, tmp_path: Path) -> None:
    golden = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    named = replace(golden, names=("/home/somebody/a.png", "photos/b.png"))
    write_golden_images(tmp_path / "again.npz", named)
    assert read_golden_images(tmp_path / "again.npz", bundle.contract).names == ("a.png", "photos/b.png")


def test_control_characters_of_names_are_escaped(bundle: Bundle, tmp_path: Path) -> None:
    golden = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    write_golden_images(tmp_path / "again.npz", replace(golden, names=("a\x1b.png", "b\n\u202e.png")))
    names = read_golden_images(tmp_path / "again.npz", bundle.contract).names
    assert names == ("a\\x1b.png", "b\\n\\u202e.png")


def test_images_with_other_answers_are_named(bundle: Bundle) -> None:
    golden = read_golden_images(bundle.path / "golden_images.npz", bundle.contract)
    answers = expected_outputs(bundle, golden.image(bundle.contract))
    answers["probabilities"][1] = np.nan
    (fault,) = golden.faults(answers)
    assert fault.startswith("b.png is of class")


CHANGES: dict[str, dict[str, Any]] = {
    "no such class": {"classes": np.array([0, 9])},
    "classes as text": {"classes": np.array(["0", "1"])},
    "classes as booleans": {"classes": np.array([False, True])},
    "no list of classes": {"classes": np.array(0)},
    "one name": {"names": np.array(["a.png"])},
    "no list of names": {"names": np.array("a.png")},
    "NaN as tolerance": {"tolerance": np.array(np.nan)},
    "infinity as tolerance": {"tolerance": np.array(np.inf)},
    "negative tolerance": {"tolerance": np.array(-1.0)},
    "a tolerance that accepts every probability": {"tolerance": np.array(1.0)},
    "an escape sequence in a name": {"names": np.array(["a.png", "\x1b[2Jb.png"])},
    "a name that reorders text": {"names": np.array(["a.png", "b\u202egnp.exe"])},
    "two tolerances": {"tolerance": np.array([1.0, 2.0])},
    "text as tolerance": {"tolerance": np.array("low")},
    "NaN as probability": {"probabilities": np.full((2, 4), np.nan)},
    "probabilities as text": {"probabilities": np.full((2, 4), "0.25")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_whose_parts_do_not_fit_is_refused(change: str, bundle: Bundle) -> None:
    path = bundle.path / "golden_images.npz"
    with np.load(path) as stored:
        np.savez(path.with_name("changed.npz"), **{**stored, **CHANGES[change]})
    with pytest.raises(BundleError, match="cannot read the golden images") as caught:
        read_golden_images(path.with_name("changed.npz"), bundle.contract)
    assert str(caught.value).isprintable()


def test_logits_may_differ_by_more_than_one(bundle: Bundle) -> None:
    path = bundle.path / "golden_images.npz"
    golden = read_golden_images(path, bundle.contract)
    write_golden_images(path, replace(golden, answers=ExpectedAnswers(golden.answers.classes), tolerance=3.0))
    linear = bundle.contract.model_copy(update={"activation": "linear"})
    assert read_golden_images(path, linear).tolerance == 3.0
    with pytest.raises(BundleError, match=r"its tolerance must be at least 0 and below 1, got 3"):
        read_golden_images(path, bundle.contract)


@pytest.mark.parametrize("damage", ["truncated", "compressed", "twice"])
def test_a_damaged_file_is_refused(damage: str, bundle: Bundle) -> None:
    path = bundle.path / "golden_images.npz"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "compressed":
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez_compressed(path, **arrays)
    else:
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("classes.npy", archive.read("classes.npy"))
    with pytest.raises(BundleError, match="cannot read the golden images"):
        read_golden_images(path, bundle.contract)


def test_expected_classes_tolerate_ties_only() -> None:
    expected = ExpectedAnswers(np.array([0, 1, 1]))
    differences = expected.score(np.array([[0.7, 0.3], [0.505, 0.495], [0.9, 0.1]])).differences
    assert differences == pytest.approx([0, 0.01, 0.8])


def test_one_sigmoid_counts_as_two_classes() -> None:
    expected = ExpectedAnswers(np.array([1, 0]), np.array([[0.2, 0.8], [0.9, 0.1]]))
    assert expected.score(np.array([[0.8], [0.1]])).differences == pytest.approx([0, 0])
