"""Rolling back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import BundleError, RepositoryError
from camserve.serving import list_models, publish
from camserve.serving.config.message import read_config
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.verify import verify_repository


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    """A repository with the toy as version 1 and another network as version 2, which is served."""
    publish(toy_bundle, tmp_path / "repository", options={"max_batch_size": 3})
    publish(write_toy_bundle(tmp_path / "other", seed=3), tmp_path / "repository")
    return tmp_path / "repository"


def _same(first: Path, second: Path) -> bool:
    files = [{p.relative_to(root).as_posix(): p.read_bytes() for p in root.iterdir()} for root in (first, second)]
    return files[0] == files[1]


def test_the_previous_version_gets_a_new_number(repository: Path) -> None:
    publication = rollback(repository, "toy")
    assert (publication.name, publication.version, publication.source_version) == ("toy", 3, 1)
    assert _same(publication.path, repository / "toy" / "1")
    assert list_models(repository)[0].served == (3,)
    assert read_config(repository / "toy" / "config.pbtxt").max_batch_size == 3
    assert verify_repository(repository).faults == ()


def test_any_version_can_be_chosen(repository: Path) -> None:
    assert rollback(repository, "toy", to=2).version == 3
    assert _same(repository / "toy" / "3", repository / "toy" / "2")


def test_unknown_models_and_versions_are_refused_with_a_list(repository: Path, toy_bundle: Bundle) -> None:
    with pytest.raises(RepositoryError, match=r"toy has no version 9\. Choose one of the versions 1, 2 with --to"):
        rollback(repository, "toy", to=9)
    for name in ("none", "..", "../repository/toy", "toy/1"):
        with pytest.raises(RepositoryError, match=r"unknown model .* has: toy"):
            rollback(repository, name)
    publish(toy_bundle, repository, name="single")
    with pytest.raises(
        RepositoryError, match=r"single has no version before the served one\. Publish another version first"
    ):
        rollback(repository, "single")


def test_a_damaged_version_is_refused(repository: Path) -> None:
    model = repository / "toy" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(RepositoryError, match=r"version 1 of toy is damaged: .*model\.onnx was changed"):
        rollback(repository, "toy")
    shutil.rmtree(repository / "toy" / "1")
    shutil.copytree(repository / "toy" / "2", repository / "toy" / "1")
    with pytest.raises(RepositoryError, match="version 1 of toy is not the version that was published"):
        rollback(repository, "toy")
    assert list_models(repository)[0].served == (2,)


def test_a_contract_change_must_be_allowed(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    publish(write_toy_bundle(tmp_path / "other", top_k=2), repository, allow_contract_change=True)
    with pytest.raises(RepositoryError, match="output cam changes"):
        rollback(repository, "toy")
    assert rollback(repository, "toy", allow_contract_change=True).version == 3
    assert list(read_config(repository / "toy" / "config.pbtxt").output[2].dims) == [3, 4, 4]


def test_a_version_with_other_answers_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.serving.publishing import draft

    monkeypatch.setattr(draft, "tolerance_of", lambda precision: -1.0)
    with pytest.raises(BundleError, match="does not reproduce the golden answers"):
        rollback(repository, "toy")
