"""Owners and modes in a repository, whatever the umask of the publisher."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.access import as_another_user, mode, needs_root

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.accept import accept_config
from camserve.serving.repository.allocation import NUMBERS_NAME
from camserve.serving.repository.durable import replace_text
from camserve.serving.repository.prune import prune

GROUP = 2345
Access = tuple[int, int, int]


@pytest.fixture(autouse=True)
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    """A repository whose model was made readable for a server of another group."""
    root = tmp_path / "repository"
    publish(toy_bundle, root)
    for path in (root / "toy", *(root / "toy").rglob("*"), root / NUMBERS_NAME):
        path.chmod(0o2750 if path.is_dir() else 0o640)
        if os.geteuid() == 0:
            os.chown(path, 1234, GROUP)
            path.chmod(0o2750 if path.is_dir() else 0o640)
    return root


def accesses(root: Path) -> dict[str, Access]:
    """Return owner, group and mode of everything below a folder."""
    found = {path.relative_to(root).as_posix(): path.lstat() for path in root.rglob("*")}
    return {name: (status.st_uid, status.st_gid, status.st_mode & 0o7777) for name, status in found.items()}


def test_the_first_version_has_the_modes_of_the_umask(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "repository")
    found = {mode(path) for path in (tmp_path / "repository").rglob("*")}
    assert found == {0o700, 0o600}


def test_a_version_has_the_owners_and_modes_of_the_one_before(repository: Path, toy_bundle: Bundle) -> None:
    before = accesses(repository)
    publish(toy_bundle, repository)
    rollback(repository, "toy", to=1)
    after = accesses(repository)
    assert {name: after[name] for name in before} == before
    for number in (2, 3):
        assert after[f"toy/{number}"] == before["toy/1"]
        for name in ("model.onnx", "labels.txt", "contract.json", "manifest.json", "golden.npz"):
            assert after[f"toy/{number}/{name}"] == before[f"toy/1/{name}"]


def test_a_version_without_a_predecessor_on_disk_has_the_modes_of_the_model(
    repository: Path, toy_bundle: Bundle
) -> None:
    before = accesses(repository)
    (repository / "toy" / "1").rename(repository.parent / "moved")
    publish(toy_bundle, repository)
    after = accesses(repository)
    assert after["toy/2"] == before["toy"]
    assert after["toy/2/model.onnx"] == before["toy/config.pbtxt"]


def test_pruning_and_accepting_keep_owner_and_mode(repository: Path, toy_bundle: Bundle) -> None:
    publish(toy_bundle, repository)
    before = accesses(repository)
    prune(repository, keep=1)
    config = repository / "toy" / "config.pbtxt"
    config.write_text(config.read_text() + "# edited\n")
    accept_config(repository, "toy")
    assert accesses(repository) == {name: access for name, access in before.items() if not name.startswith("toy/1")}


def test_a_publication_that_fails_restores_owner_and_mode(
    repository: Path, toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = accesses(repository), Path.replace

    def interrupted(self: Path, target: Any) -> Path:
        replaced = real(self, target)
        if replaced.name == "config.pbtxt" and self.name == "config.pbtxt":
            raise KeyboardInterrupt
        return replaced

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(toy_bundle, repository)
    assert accesses(repository) == before


def test_the_staging_area_of_a_private_repository_is_private(toy_bundle: Bundle, tmp_path: Path) -> None:
    os.umask(0o022)
    staged: list[int] = []

    def look(_phase: str) -> None:
        staged.extend(mode(path) for path in tmp_path.glob(".repository*"))

    publish(toy_bundle, tmp_path / "repository", progress=look)
    assert set(staged) == {0o700}


@needs_root
def test_a_configuration_is_not_opened_to_the_group_of_another_publisher(tmp_path: Path) -> None:
    config, logged = tmp_path / "config.pbtxt", list[logging.LogRecord]()
    config.write_text("old")
    (tmp_path / "stage").mkdir()
    for path, number in ((config, 0o664), (tmp_path, 0o777), (tmp_path / "stage", 0o777)):
        path.chmod(number)
    handler = logging.Handler()
    vars(handler)["emit"] = logged.append

    def replace() -> bool:
        logging.getLogger("camserve.serving").addHandler(handler)
        replace_text(Path("config.pbtxt"), "new", stage=Path("stage"))
        return "could not be kept" in logged[0].getMessage()

    assert as_another_user(tmp_path, replace)
    assert (config.read_text(), config.stat().st_uid, mode(config)) == ("new", 4321, 0o644)
