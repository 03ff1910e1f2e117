"""Fixtures for all tests: the toy bundle, published and served by a real Triton."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disposable_server import DisposableServer
from support.flushing import skip_flushing
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.serving import TritonServer, publish

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def pytest_configure() -> None:
    """Enable Ctrl-C, which a shell disables in background jobs, and skip flushing to the disk, which is slow."""
    skip_flushing()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that no process idles at the end; run failed timing tests up to twice again."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with 8 by 8 pixels, 4 classes and 3 maps."""
    return write_toy_bundle(tmp_path_factory.mktemp("toy") / "bundle")


@pytest.fixture(scope="session")
def toy_repository(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the toy model as version 1; tests must not change it."""
    repository = tmp_path_factory.mktemp("toy") / "repository"
    publish(toy_bundle, repository)
    return repository


@pytest.fixture(scope="session")
def toy_server(toy_repository: Path) -> Iterator[TritonServer]:
    """A Triton that serves the toy model to all tests."""
    with DisposableServer(toy_repository) as server:
        yield server
