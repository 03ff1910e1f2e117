"""Publishing to disks that fail, are full, or are separate mounts."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from support.folders import content, tree
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import write_manifest
from camserve.serving import ServingOptions, publish
from camserve.serving.repository import staging_area
from camserve.serving.repository.verify import verify_repository


def test_a_repository_on_its_own_mount_is_published_to(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulates a separate file system, since a test cannot mount one.
    monkeypatch.setattr(staging_area, "_supports_rename", lambda stage, root: False)
    assert [publish(toy_bundle, tmp_path).version for _ in range(2)] == [1, 2]
    assert publish(toy_bundle, tmp_path, name="second").version == 1
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"config.pbtxt", "1", "2"}
    assert {path.name for path in (tmp_path / "second").iterdir()} == {"config.pbtxt", "1"}


def test_a_failing_rename_across_mounts_stages_in_the_model(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("rename", "replace"):
        real = getattr(Path, method)

        def refuse_across(self: Path, target: Any, real: Any = real) -> Path:
            if self.is_relative_to(tmp_path / "repository") != Path(target).is_relative_to(tmp_path / "repository"):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return real(self, target)  # type: ignore[no-any-return]

        monkeypatch.setattr(Path, method, refuse_across)
    repository = tmp_path / "repository"
    assert [publish(toy_bundle, repository).version for _ in range(2)] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def _fail_at(monkeypatch: pytest.MonkeyPatch, failing_call: int) -> None:
    """Simulate a full disk at one of the renames."""
    calls = iter(range(1, 100))
    for method in ("rename", "replace"):
        real = getattr(Path, method)

        def failing(self: Path, target: Any, real: Any = real) -> Path:
            if next(calls) == failing_call:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, target)  # type: ignore[no-any-return]

        monkeypatch.setattr(Path, method, failing)


def _only_models(root: Path) -> dict[str, bytes]:
    return {name: text for name, text in content(root).items() if "/.camserve." not in name}


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("published", [True, False])
def test_a_failure_of_any_rename_changes_nothing(
    toy_bundle: Bundle, tmp_path: Path, beside: bool, published: bool
) -> None:
    repository = tmp_path / "repository"
    if published:
        publish(toy_bundle, repository)
    before = _only_models(tmp_path)
    for failing_call in range(2 if beside else 1, 20):  # beside, the first rename is only the probe
        with pytest.MonkeyPatch.context() as monkeypatch:
            if not beside:
                monkeypatch.setattr(staging_area, "_supports_rename", lambda stage, root: False)
            _fail_at(monkeypatch, failing_call)
            try:
                publish(toy_bundle, repository, options=ServingOptions(max_batch_size=2))
                break
            except RepositoryError:
                assert _only_models(tmp_path) == before
                assert not any(".camserve-staging" in name for name in tree(tmp_path))
    assert failing_call > 2
    assert verify_repository(repository).faults == ()


def test_a_failure_leaves_an_empty_model_folder_empty(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    monkeypatch.setattr(staging_area, "_supports_rename", lambda stage, root: False)
    _fail_at(monkeypatch, 3)
    with pytest.raises(RepositoryError, match="No space left"):
        publish(toy_bundle, tmp_path)
    assert tree(tmp_path) - {".camserve.lock", ".camserve.versions"} == {"toy"}


def test_everything_is_flushed_before_it_is_renamed(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()
    real_sync, real_replace = os.fsync, Path.replace
    renamed = []

    def record(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        real_sync(descriptor)

    def replace(self: Path, target: Any) -> Path:
        content = [self, *self.rglob("*")]
        assert {path.stat().st_ino for path in content} <= flushed, self
        result = real_replace(self, target)
        flushed.discard(Path(target).parent.stat().st_ino)
        renamed.append(Path(target))
        return result

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(Path, "replace", replace)
    for _ in range(2):
        publish(toy_bundle, tmp_path / "repository")
    assert {path.name for path in renamed} == {"toy", ".camserve.versions", "2", "config.pbtxt"}
    assert {path.parent.stat().st_ino for path in renamed} <= flushed


def test_a_failure_removes_every_folder_that_it_created(tmp_path: Path) -> None:
    broken = write_toy_bundle(tmp_path / "broken")
    (broken.path / "model.onnx").write_bytes(b"no graph")
    write_manifest(broken.path)
    (tmp_path / "existing").mkdir()
    with pytest.raises(BundleError, match="cannot load"):
        publish(broken, tmp_path / "existing" / "new" / "a" / "b")
    assert tree(tmp_path / "existing") == set()
    assert (tmp_path / "existing").is_dir()
