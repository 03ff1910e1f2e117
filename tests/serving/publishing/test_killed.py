"""Publishers that are killed at any of their steps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import publishers
from support.chaos import times
from support.disposable_server import DisposableServer
from support.folders import content
from support.toy import write_toy_bundle

from camserve.golden import compare, read_golden
from camserve.serving import list_models, publish
from camserve.serving.config.message import read_config
from camserve.serving.live.server import LiveServer
from camserve.serving.repository.ledger import read_published
from camserve.serving.repository.verify import verify_repository

pytestmark = pytest.mark.chaos

View = dict[str, bytes]


def _as_triton_sees_it(repository: Path) -> View:
    """Return the configuration of the model and the files of the versions that it serves."""
    model = repository / "toy"
    if not (model / "config.pbtxt").exists():
        return {}
    named = read_config(model / "config.pbtxt").version_policy.specific.versions
    seen = {name: text for name, text in content(model).items() if name.partition("/")[0] in map(str, named)}
    return {"config.pbtxt": (model / "config.pbtxt").read_bytes(), **seen}


@dataclass(frozen=True)
class Killed:
    """Repositories in which a publisher was killed, one for each of its steps.

    Attributes:
        task: What the publisher did.
        root: Folder of all, with the repositories `before` and `after` an undisturbed run.
        folders: One for each step.
    """

    task: str
    root: Path
    folders: list[Path]


@pytest.fixture(scope="module", params=publishers.TASKS)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    task = request.param
    tmp_path = tmp_path_factory.mktemp(task)
    before = tmp_path / "before"
    before.mkdir()
    write_toy_bundle(tmp_path / "new", seed=1, top_k=2, labels=["a", "b", "c", "d"])
    if "new_model" not in task:
        old = write_toy_bundle(tmp_path / "old")
        for _ in range(2):
            publish(old, before / "repository", options={"image_files": task == "remove_files"})
    command = [sys.executable, publishers.__file__, "killed", str(tmp_path), task]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    yield Killed(task, tmp_path, sorted(tmp_path.glob("killed-*")))
    shutil.rmtree(tmp_path)


def test_a_kill_at_any_step_leaves_the_old_or_the_new_model(killed: Killed) -> None:
    old, new = (_as_triton_sees_it(killed.root / name / "repository") for name in ("before", "after"))
    assert len(killed.folders) > 10
    assert old != new
    seen = [_as_triton_sees_it(folder / "repository") for folder in killed.folders]
    assert all(view in (old, new) for view in seen)
    assert seen.index(new) == seen.count(old)  # up to one step the old model, after it the new one


def _takes_image_files(repository: Path) -> bool:
    """Return whether the model that takes image files is there, with a version of the other one that has its code."""
    seen = _as_triton_sees_it(repository)
    has_code = any(name.endswith("/image_files.zip") for name in seen)
    program = repository / "toy_file" / "1" / "model.py"
    if not has_code:
        return False
    assert program.is_file()  # a version with code is never served without it
    assert list(read_config(repository / "toy_file" / "config.pbtxt").version_policy.specific.versions) == [1]
    return True


@pytest.mark.parametrize("killed", ["new_model_with_files", "add_files", "remove_files"], indirect=True)
def test_a_kill_leaves_a_version_with_image_files_or_without(killed: Killed) -> None:
    before, after = (_takes_image_files(killed.root / name / "repository") for name in ("before", "after"))
    assert before != after
    found = [_takes_image_files(folder / "repository") for folder in killed.folders]
    assert found.index(after) == found.count(before)
    assert (killed.root / "after" / "repository" / "toy_file").exists() == after


@pytest.mark.parametrize("killed", ["add"], indirect=True)
def test_triton_serves_what_a_killed_publisher_left(killed: Killed) -> None:
    visible = {frozenset(content(folder / "repository" / "toy")): folder for folder in killed.folders}
    assert len(visible) == 2  # without the new version's files, and with them
    for folder in {*visible.values(), killed.folders[-1]}:
        with DisposableServer(folder / "repository") as server, LiveServer(server.grpc_url) as live:
            (version,) = server.served()["toy"]
            published = read_published(folder / "repository" / "toy")
            assert published is not None
            golden = read_golden(folder / "repository" / "toy" / str(version) / "golden.npz", published.contract)
            answers = live.infer("toy", version, published.contract, golden.image(published.contract))
            assert compare(golden, published.contract, answers, tolerance=1e-4) == ()


def test_the_next_publisher_removes_what_a_killed_one_left(killed: Killed) -> None:
    for folder in killed.folders[:: 30 // times(30)]:
        repository = folder / "repository"
        if repository.exists():
            assert verify_repository(repository).faults == ()
            list_models(repository)
        numbers = {int(path.name) for path in repository.glob("toy/[0-9]*")}
        options = {"image_files": False}
        publication = publish(killed.root / "new", repository, options=options, allow_contract_change=True)
        assert publication.version > max(numbers, default=0)
        found = verify_repository(repository)
        assert (found.faults, found.notes) == ((), ())
        assert [path.name for path in folder.iterdir()] == ["repository"]
        published = read_published(repository / "toy")
        assert published is not None
        expected = {"config.pbtxt", *map(str, published.ledger)}
        assert {path.name for path in (repository / "toy").iterdir()} == expected
