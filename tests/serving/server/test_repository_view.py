"""A view of a repository in which a model has another configuration."""

from __future__ import annotations

from pathlib import Path

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.config.message import read_config
from camserve.serving.server.guard import remove_folder
from camserve.serving.server.repository_view import create_view


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_view_changes_one_configuration_until_it_ends(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for name in ("toy", "toy", "other"):
        publish(toy_bundle, repository, name=name)
    (repository / "toy" / "notes.txt").write_text("kept")
    before = _contents(repository)
    config = read_config(repository / "toy" / "config.pbtxt")
    del config.version_policy.specific.versions[:]
    config.version_policy.specific.versions.append(1)
    config.max_batch_size = 3
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    view = create_view(scratch, repository, {"toy": config})

    assert sorted(path.name for path in view.link.iterdir()) == ["other", "toy"]
    assert sorted(path.name for path in (view.link / "toy").iterdir()) == ["1", "config.pbtxt", "notes.txt"]
    assert read_config(view.link / "toy" / "config.pbtxt") == config
    assert read_config(view.link / "other" / "config.pbtxt").max_batch_size == 8
    assert view.with_real_paths(f"cannot find '{view.link}/toy/1'") == f"cannot find '{repository}/toy/1'"

    view.end()
    published = (repository / "toy" / "config.pbtxt").stat()
    view.make_reloadable(but=["toy"])
    assert (repository / "toy" / "config.pbtxt").stat() == published
    view.make_reloadable(but=[])
    touched = (repository / "toy" / "config.pbtxt").stat()
    assert touched.st_ctime_ns > published.st_ctime_ns
    assert touched.st_mtime_ns == published.st_mtime_ns
    assert view.link.readlink() == repository
    assert _contents(view.link) == before
    remove_folder(scratch)
    assert _contents(repository) == before


def test_a_model_that_cannot_be_read_is_left_to_triton(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "repository", name="toy")
    config = read_config(tmp_path / "repository" / "toy" / "config.pbtxt")
    (tmp_path / "repository" / "damaged").write_text("no folder")
    (tmp_path / "scratch").mkdir()
    view = create_view(tmp_path / "scratch", tmp_path / "repository", {"toy": config, "damaged": config})
    assert read_config(view.link / "toy" / "config.pbtxt") == config
    assert list((view.link / "damaged").iterdir()) == []
