"""Verification of bundles."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.toy import write_toy_bundle

from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError
from camserve.manifest import MANIFEST_NAME, manifest_faults, verify_manifest, write_manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_toy_bundle(tmp_path / "bundle")


def _symlink(bundle: Path, outside: Path) -> None:
    (bundle / "labels.txt").unlink()
    (bundle / "labels.txt").symlink_to(outside)


def _linked_folder(bundle: Path, outside: Path) -> None:
    (bundle / "saved_model").symlink_to(outside.parent)


def _dangling(bundle: Path, outside: Path) -> None:
    (bundle / "more").symlink_to(outside.with_name("nowhere"))


def _hard_link(bundle: Path, outside: Path) -> None:
    (bundle / "labels.txt").unlink()
    (bundle / "labels.txt").hardlink_to(outside)


def _hard_link_of_the_manifest(bundle: Path, outside: Path) -> None:
    outside.with_name("second").hardlink_to(bundle / MANIFEST_NAME)


def _pipe(bundle: Path, outside: Path) -> None:
    (bundle / "labels.txt").unlink()
    os.mkfifo(bundle / "labels.txt")


def _pipe_more(bundle: Path, outside: Path) -> None:
    os.mkfifo(bundle / "more")


@pytest.mark.parametrize(
    "place", [_symlink, _linked_folder, _dangling, _hard_link, _hard_link_of_the_manifest, _pipe, _pipe_more]
)
def test_links_and_pipes_are_refused_and_never_opened(bundle: Bundle, tmp_path: Path, place: object) -> None:
    assert callable(place)
    (tmp_path / "outside").mkdir()
    outside = tmp_path / "outside" / "labels.txt"
    shutil.copy(
        bundle.path / "labels.txt", outside
    )  # with the same content: the checksum alone does not reveal the link
    place(bundle.path, outside)
    with pytest.raises(BundleError, match=r"is not a regular file or folder|is a hard link"):
        load_bundle(bundle.path)


@pytest.mark.parametrize("place", [_symlink, _pipe])
def test_no_manifest_is_written_over_links_and_pipes(bundle: Bundle, tmp_path: Path, place: object) -> None:
    assert callable(place)
    outside = tmp_path / "outside"
    outside.touch()
    place(bundle.path, outside)
    with pytest.raises(BundleError, match=r"labels\.txt is not a regular file"):
        write_manifest(bundle.path)


def test_any_change_of_the_manifest_is_detected(bundle: Bundle) -> None:
    path = bundle.path / MANIFEST_NAME
    original = path.read_bytes()
    for changed in (
        original + b"\n",
        original.replace(b'"version": 1', b'"version": 3'),
        original.replace(b"  ", b"\t", 1),
    ):
        path.write_bytes(changed)
        with pytest.raises(BundleError, match=r"manifest\.json.*was changed"):
            load_bundle(bundle.path)
        assert manifest_faults(bundle.path) == (f"manifest.json of {bundle.path} was changed",)
    path.write_bytes(original)
    assert verify_manifest(bundle.path) == bundle.files
    assert manifest_faults(bundle.path) == ()


def test_a_copy_of_a_hard_linked_bundle_is_accepted(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "second").hardlink_to(bundle.path / "model.onnx")
    with pytest.raises(BundleError, match=r"cp -r"):
        load_bundle(bundle.path)
    shutil.copytree(bundle.path, tmp_path / "copy")
    assert load_bundle(tmp_path / "copy").files == bundle.files


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_an_invalid_report_is_refused(bundle: Bundle, content: str) -> None:
    (bundle.path / "report.json").write_text(content, encoding="utf-8")
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match=r"report\.json(: | is not a report)"):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "[]",
        "[[]]",
        '{"files": 1}',
        '{"files": [["a", "b"]], "version": 1}',
        "[" * 100_000,
        '{"files": {"a": NaN}}',
    ],
)
def test_an_invalid_manifest_is_refused(bundle: Bundle, content: str) -> None:
    (bundle.path / MANIFEST_NAME).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(bundle.path)
    assert MANIFEST_NAME in manifest_faults(bundle.path)[0]


def test_labels_that_clients_refuse_are_refused(tmp_path: Path) -> None:
    for label, why in (("d" * 10_001, "has 10,001 characters, more than 10,000"), ("a\x1b[2J", "control character")):
        with pytest.raises(BundleError, match=f"line 2 of .*labels.txt .*{why}"):
            write_toy_bundle(tmp_path, labels=("cat", label, "dog", "bird"))
