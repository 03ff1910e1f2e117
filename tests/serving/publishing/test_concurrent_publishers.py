"""Concurrent publishers in separate processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import publishers
from support.chaos import times

from camserve.bundle import Bundle
from camserve.serving.repository.ledger import read_published
from camserve.serving.repository.verify import verify_repository

pytestmark = pytest.mark.chaos

PUBLISHERS = 10


def test_concurrent_processes_get_distinct_versions(toy_bundle: Bundle, tmp_path: Path) -> None:
    for number in range(times(20)):
        repository = tmp_path / str(number) / "repository"
        command = [sys.executable, publishers.__file__, "crowd", str(repository), str(toy_bundle.path), str(PUBLISHERS)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, result.stderr
        assert sorted(map(int, result.stdout.split())) == list(range(1, PUBLISHERS + 1))
        published = read_published(repository / "toy")
        assert published is not None
        assert sorted(published.ledger) == list(range(1, PUBLISHERS + 1))
        assert published.served == (PUBLISHERS,)
        found = verify_repository(repository)
        assert (found.faults, found.notes) == ((), ())
        assert [path.name for path in repository.parent.iterdir()] == ["repository"]
