"""Removing old versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import RepositoryError, UsageError
from camserve.serving import list_models, publish
from camserve.serving.repository.prune import prune
from camserve.serving.repository.verify import verify_repository


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    for name in ("a", "b"):
        for _ in range(4):
            publish(toy_bundle, tmp_path / "repository", name=name)
    return tmp_path / "repository"


def _versions(repository: Path) -> dict[str, list[int]]:
    return {model.name: [version.number for version in model.versions] for model in list_models(repository)}


def test_the_oldest_versions_are_removed(repository: Path, tmp_path: Path) -> None:
    before = sum(path.stat().st_size for path in repository.glob("*/[12]/*"))
    removed = prune(repository, keep=2)
    assert [(each.model, each.version) for each in removed] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert sum(each.size for each in removed) == before
    assert _versions(repository) == {"a": [3, 4], "b": [3, 4]}
    assert verify_repository(repository).faults == ()
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert prune(repository, keep=2) == ()


def test_only_the_named_models_are_pruned(repository: Path) -> None:
    prune(repository, keep=1, models=["b"])
    assert _versions(repository) == {"a": [1, 2, 3, 4], "b": [4]}
    with pytest.raises(RepositoryError, match=r"unknown model 'c'; .* has: a, b"):
        prune(repository, keep=1, models=["c"])


def test_a_dry_run_returns_the_same_and_removes_nothing(repository: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    planned = prune(repository, keep=1, dry_run=True)
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before
    assert prune(repository, keep=1) == planned


def test_a_served_version_is_never_removed(toy_bundle: Bundle, repository: Path) -> None:
    publish(toy_bundle, repository, name="a", options={"versions": (1, 3)})
    removed = prune(repository, keep=1, models=["a"])
    assert [each.version for each in removed] == [2, 4, 5]
    assert _versions(repository)["a"] == [1, 3]
    assert prune(repository, keep=1, models=["b"], served={"b": {2}}) != ()
    assert _versions(repository)["b"] == [2, 4]


def test_a_pruned_number_is_not_used_again(toy_bundle: Bundle, repository: Path) -> None:
    prune(repository, keep=1)
    assert publish(toy_bundle, repository, name="a").version == 5


def test_a_model_that_is_named_twice_is_pruned_once(repository: Path) -> None:
    assert [each.version for each in prune(repository, keep=2, models=["a", "a"])] == [1, 2]


def test_a_version_without_a_folder_leaves_the_list(repository: Path) -> None:
    shutil.rmtree(repository / "a" / "2")
    assert verify_repository(repository).faults != ()
    assert [(each.version, each.size) for each in prune(repository, keep=3, models=["a"])] == [(2, 0)]
    assert verify_repository(repository).faults == ()
    assert _versions(repository)["a"] == [1, 3, 4]


def test_nothing_is_removed_if_no_version_is_served(repository: Path) -> None:
    path = repository / "a" / "config.pbtxt"
    path.write_text(path.read_text().replace("versions: 4", "versions: 99"))
    with pytest.raises(RepositoryError, match="the version policy of a serves none of its versions"):
        prune(repository, keep=1)
    assert _versions(repository) == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}


def test_keep_must_be_at_least_one(repository: Path) -> None:
    with pytest.raises(UsageError, match="keep must be at least 1, got 0"):
        prune(repository, keep=0)
