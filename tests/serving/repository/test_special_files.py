"""Pipes in place of a repository's files: reading one would wait forever, while the repository is locked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import RepositoryError
from camserve.serving import describe_model, lint_repository, list_models, publish, verify_repository


@pytest.fixture
def root(toy_bundle: Bundle, tmp_path: Path) -> Path:
    """Return a repository of one model."""
    publish(toy_bundle, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture(autouse=True)
def at_most_20_seconds() -> Iterator[None]:
    """Interrupt what waits for a pipe."""

    def stop(*_: object) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["toy/config.pbtxt", ".camserve.versions"])
def test_a_pipe_ends_a_publication_with_its_name(root: Path, toy_bundle: Bundle, name: str) -> None:
    _replace_by_pipe(root / name)
    with pytest.raises(RepositoryError, match=rf"{name}.* is a pipe, a device or a socket"):
        publish(toy_bundle, root)


@pytest.mark.parametrize("name", ["report.json", "manifest.json", "contract.json", "labels.txt", "golden.npz"])
def test_a_pipe_in_a_version_is_reported_and_does_not_block(root: Path, toy_bundle: Bundle, name: str) -> None:
    _replace_by_pipe(root / "toy" / "1" / name)
    assert any(name in fault.what for fault in verify_repository(root).faults)
    assert [model.name for model in list_models(root)] == ["toy"]
    assert describe_model(root, "toy").name == "toy"
    assert publish(toy_bundle, root, allow_contract_change=True).version == 2


READERS: list[Callable[[Path], object]] = [lint_repository, verify_repository]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["config.pbtxt", "1/model.onnx", "1/manifest.json", "1/labels.txt", "1/report.json"])
def test_checks_of_a_repository_do_not_wait_for_a_pipe(root: Path, read: Callable[[Path], object], name: str) -> None:
    _replace_by_pipe(root / "toy" / name)
    read(root)


def test_a_device_is_not_read(root: Path, toy_bundle: Bundle) -> None:
    config = root / "toy" / "config.pbtxt"
    config.unlink()
    config.symlink_to("/dev/zero")
    with pytest.raises(RepositoryError, match="is a pipe, a device or a socket"):
        publish(toy_bundle, root)
