"""Listing the models of a repository."""

from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import RepositoryError
from camserve.serving import ServingOptions, list_models, publish
from camserve.serving.repository.listing import check_known_models


def test_every_model_is_listed_with_its_versions(toy_bundle: Bundle, tmp_path: Path) -> None:
    options = ServingOptions(latest_versions=2)
    for _ in range(3):
        publish(toy_bundle, tmp_path, name="b", options=options)
    publish(toy_bundle, tmp_path, name="a")
    a, b = list_models(tmp_path)
    assert (a.name, b.name) == ("a", "b")
    assert [version.number for version in b.versions] == [1, 2, 3]
    assert (a.served, b.served) == ((1,), (2, 3))
    version = b.versions[0]
    assert version.size == sum(path.stat().st_size for path in (tmp_path / "b" / "1").iterdir())
    assert version.precision == "fp32"
    assert version.published.tzinfo is not None


def test_other_folders_are_not_listed(toy_repository: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.pbtxt").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").touch()
    assert list_models(tmp_path) == ()
    with pytest.raises(RepositoryError, match=r"unknown model '\.git'; the repository .* has no models"):
        check_known_models(tmp_path, [".git"])
    assert [model.name for model in list_models(toy_repository)] == ["toy"]


def test_a_missing_repository_and_a_file_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"does not exist.*camserve publish BUNDLE_DIR --repository"):
        list_models(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryError, match="not a folder"):
        list_models(tmp_path / "file")
