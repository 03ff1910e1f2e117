"""Verification of a repository against its checksums."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf import text_format
from support.chaos import times

from camserve.bundle import Bundle
from camserve.errors import RepositoryError
from camserve.serving import ServingOptions, list_models, prune, publish
from camserve.serving.config.message import read_config
from camserve.serving.repository.accept import accept_config
from camserve.serving.repository.lock import LOCK_NAME
from camserve.serving.repository.verify import verify_repository

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def intact(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with two versions each; tests damage a copy."""
    repository = tmp_path_factory.mktemp("verify") / "repository"
    for name in ("toy", "toy", "other", "other"):
        publish(toy_bundle, repository, name=name, options=ServingOptions(warmup=False))
    return repository


@pytest.fixture
def repository(intact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(intact, tmp_path / "repository")


def _files(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*") if path.is_file() and path.name != LOCK_NAME)


def test_an_intact_repository_has_no_faults(repository: Path) -> None:
    found = verify_repository(repository)
    assert (found.models, found.files, found.faults, found.notes) == (2, 2 * (1 + 2 * 6), (), ())
    assert found.size > 10_000


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # protobuf, of damaged strings
def test_any_flipped_bit_is_found(repository: Path) -> None:
    chance = random.Random(20_16)
    files = _files(repository)
    for _ in range(times(1000)):
        path = chance.choice(files)
        original = path.read_bytes()
        place = chance.randrange(len(original) * 8)
        changed = bytearray(original)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        (fault, *_) = verify_repository(repository).faults or (None,)
        assert fault is not None, (path, place)
        assert fault.path.split("/")[0] == path.relative_to(repository).parts[0]
        path.write_bytes(original)
    assert verify_repository(repository).faults == ()


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # protobuf, of damaged strings
def test_every_part_of_a_configuration_is_verified(repository: Path) -> None:
    path = repository / "toy" / "config.pbtxt"
    original = path.read_bytes()
    for place in range(0, len(original) * 8, 8 * len(original) // times(500) | 1):
        changed = bytearray(original)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        assert [fault.path for fault in verify_repository(repository).faults][:1] == ["toy/config.pbtxt"], place


def test_removed_renamed_and_added_files_are_found(repository: Path) -> None:
    for path in _files(repository):
        other = path.with_name(f"{path.name}x")
        path.rename(other)
        assert verify_repository(repository).faults, path
        if path.parent != repository:  # other files at the root are ignored
            shutil.copy(other, path)
            assert verify_repository(repository).faults, other
        other.rename(path)
        assert verify_repository(repository).faults == ()


def _remove_version(model: Path) -> None:
    shutil.rmtree(model / "1")


def _rename_version(model: Path) -> None:
    (model / "1").rename(model / "7")


def _copy_version(model: Path) -> None:
    shutil.copytree(model / "2", model / "3")


def _swap_versions(model: Path) -> None:
    shutil.rmtree(model / "1")
    shutil.copytree(model.parent / "other" / "1", model / "1")


def _zero_before(model: Path) -> None:
    (model / "1").rename(model / "01")


def _link(model: Path) -> None:
    (model / "1").rename(model.parent.parent / "elsewhere")
    (model / "1").symlink_to(model.parent.parent / "elsewhere")


def _more(model: Path) -> None:
    (model / "notes.txt").touch()


def _no_configuration(model: Path) -> None:
    (model.parent / "other" / "config.pbtxt").unlink()


def _damaged_numbers(model: Path) -> None:
    (model.parent / ".camserve.versions").write_text("toy 1")


@pytest.mark.parametrize(
    ("change", "path", "what"),
    [
        (_remove_version, "toy/1", "is missing, with all its files"),
        (_rename_version, "toy/1", "is missing, with all its files"),
        (_rename_version, "toy/7", "does not belong there"),
        (_copy_version, "toy/3", "does not belong there"),
        (_swap_versions, "toy/1/manifest.json", "is not the manifest that the version was published with"),
        (_zero_before, "toy/01", "does not belong there"),
        (_link, "toy/1", "does not belong there"),
        (_more, "toy/notes.txt", "does not belong there"),
        (_no_configuration, "other", "has no config.pbtxt"),
        (_damaged_numbers, ".camserve.versions", "is damaged"),
    ],
)
def test_changes_of_whole_versions_are_found(
    repository: Path, change: Callable[[Path], None], path: str, what: str
) -> None:
    change(repository / "toy")
    faults = verify_repository(repository).faults
    assert any(fault.path == path and what in fault.what for fault in faults), faults


def test_concurrent_publishers_neither_cause_nor_hide_faults(repository: Path, toy_bundle: Bundle) -> None:
    def work() -> None:
        for _ in range(8):
            publish(toy_bundle, repository, name="busy")
            prune(repository, keep=1, models=["busy"])

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while not working.done():
            assert verify_repository(repository).faults == ()
            list_models(repository)
        working.result()
        shutil.rmtree(next(repository.glob("busy/[0-9]*")))
        working_on = pool.submit(publish, toy_bundle, repository, name="busier")
        assert "is missing, with all its files" in [fault.what for fault in verify_repository(repository).faults]
        working_on.result()


def test_all_faults_are_reported(repository: Path) -> None:
    (repository / "toy" / "1" / "model.onnx").write_bytes(b"")
    (repository / "toy" / "2" / "labels.txt").unlink()
    (repository / "other" / "config.pbtxt").write_text("name: ")
    assert [(fault.path, fault.what.split(",")[0]) for fault in verify_repository(repository).faults] == [
        ("other/config.pbtxt", "cannot be read"),
        ("toy/1", "model.onnx was changed"),
        ("toy/2", "labels.txt is missing"),
    ]


def test_an_edit_by_hand_is_reported_and_can_be_accepted(repository: Path) -> None:
    path = repository / "toy" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 4  # by hand"))
    (fault,) = verify_repository(repository).faults
    assert fault.path == "toy/config.pbtxt"
    assert "edited by hand" in fault.what
    assert f"camserve repository verify --repository {repository} --accept toy" in fault.what
    accept_config(repository, "toy")
    assert verify_repository(repository).faults == ()
    assert "# by hand" in path.read_text()


def test_only_models_of_camserve_can_be_accepted(repository: Path) -> None:
    for name in ("none", "..", "../repository/toy"):
        with pytest.raises(
            RepositoryError, match=r"unknown model .* has: other, toy.*camserve repository list --repository"
        ):
            accept_config(repository, name)
    path = repository / "toy" / "config.pbtxt"
    path.write_text(path.read_text().replace("camserve.contract", "camserve.kontract"))
    with pytest.raises(RepositoryError, match="has lost its name, its contract or its list"):
        accept_config(repository, "toy")


def test_an_invalid_contract_is_not_accepted(repository: Path) -> None:
    path = repository / "toy" / "config.pbtxt"
    original = path.read_text()
    path.write_text(original.replace("255.0,255.0,255.0", "0.0,0.0,0.0"))
    assert path.read_text() != original
    with pytest.raises(RepositoryError, match=r"preprocessing\.scale\[0\] is a divisor.*Restore the file"):
        accept_config(repository, "toy")
    assert len(verify_repository(repository).faults) == 1


def test_a_version_listed_twice_is_a_fault(repository: Path) -> None:
    path = repository / "toy" / "config.pbtxt"
    config = read_config(path)
    versions = config.parameters["camserve.versions"]
    versions.string_value += "\n" + versions.string_value.split("\n")[0][:-1] + "0"
    path.write_text(text_format.MessageToString(config))
    (fault,) = verify_repository(repository).faults
    assert "contains a version twice" in fault.what


def test_an_empty_folder_is_a_note(repository: Path) -> None:
    (repository / "empty").mkdir()
    found = verify_repository(repository)
    assert (found.faults, [note.path for note in found.notes]) == ((), ["empty"])


def test_a_model_that_camserve_did_not_publish_is_a_note(repository: Path) -> None:
    (repository / "foreign" / "1").mkdir(parents=True)
    (repository / "foreign" / "config.pbtxt").write_text('name: "foreign"\nbackend: "python"\n')
    found = verify_repository(repository)
    assert found.faults == ()
    assert [note.path for note in found.notes] == ["foreign"]
