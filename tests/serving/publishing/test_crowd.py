"""Many publishers at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import publishers
import pytest
from chaos import times

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.repository.ledger import read_standing
from camserve.serving.repository.verify import verify_repository

pytestmark = pytest.mark.chaos

PUBLISHERS = 10


def test_processes_at_once_get_distinct_versions_and_none_is_lost(toy_bundle: Bundle, tmp_path: Path) -> None:
    for number in range(times(20)):
        repository = tmp_path / str(number) / "repository"
        command = [sys.executable, publishers.__file__, "crowd", str(repository), str(toy_bundle.path), str(PUBLISHERS)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        assert sorted(map(int, result.stdout.split())) == list(range(1, PUBLISHERS + 1))
        standing = read_standing(repository / "toy")
        assert standing is not None
        assert sorted(standing.ledger) == list(range(1, PUBLISHERS + 1))
        assert standing.served == (PUBLISHERS,)
        found = verify_repository(repository)
        assert (found.faults, found.notes) == ((), ())
        assert [path.name for path in repository.parent.iterdir()] == ["repository"]


def test_threads_at_once_do_not_disturb_each_other_either(toy_bundle: Bundle, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(lambda _: publish(toy_bundle, tmp_path / "repository").version, range(12)))
    assert sorted(versions) == list(range(1, 13))
