"""Publishing."""

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest
from toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import BundleError, RepositoryError, UsageError
from camserve.manifest import verify_manifest, write_manifest
from camserve.serving import ServingOptions, publish
from camserve.serving.config.message import read_config, read_options, render_config
from camserve.serving.publishing import placing, staging


def _tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def _content(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in _tree(root) if (root / name).is_file()}


def test_a_published_version_is_complete_and_nothing_else_is_left(toy_bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(toy_bundle, tmp_path / "repository")
    assert (publication.name, publication.version) == ("toy", 1)
    assert publication.path == tmp_path / "repository" / "toy" / "1"
    version = {"model.onnx", "contract.json", "labels.txt", "report.json", "manifest.json"}
    assert _tree(publication.path.parent) == {"config.pbtxt", "labels.txt", "1", *(f"1/{name}" for name in version)}
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert set(verify_manifest(publication.path)) == version - {"manifest.json"}
    assert (publication.path / "model.onnx").read_bytes() == (toy_bundle.path / "model.onnx").read_bytes()


def test_versions_count_up_from_the_highest(toy_bundle: Bundle, tmp_path: Path) -> None:
    assert [publish(toy_bundle, tmp_path).version for _ in range(3)] == [1, 2, 3]
    shutil.rmtree(tmp_path / "toy" / "2")
    assert publish(toy_bundle.path, str(tmp_path)).version == 4


def test_the_contract_carries_the_published_name(toy_bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(toy_bundle, tmp_path, name="other")
    config = read_config(tmp_path / "other" / "config.pbtxt")
    assert config.name == "other"
    assert ModelContract.from_json(config.parameters[CONTRACT_PARAMETER].string_value).name == "other"
    assert ModelContract.from_json((publication.path / "contract.json").read_bytes()).name == "other"


def test_later_options_replace_earlier_ones(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    publish(toy_bundle, tmp_path, options=ServingOptions(max_batch_size=2))
    assert read_config(tmp_path / "toy" / "config.pbtxt").max_batch_size == 2


def test_options_that_are_not_given_stay_as_they_stand(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "toy" / "config.pbtxt"
    publish(toy_bundle, tmp_path, options=ServingOptions(max_batch_size=2, instances=3))
    path.write_text(f"# by hand\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    before = path.read_bytes()
    publish(toy_bundle, tmp_path)
    assert path.read_bytes() == before
    publish(toy_bundle, tmp_path, options={"max_queue_delay_us": 7})
    assert read_options(read_config(path)) == asdict(
        ServingOptions(max_batch_size=2, instances=3, max_queue_delay_us=7)
    )


def test_an_option_out_of_range_is_refused_before_the_bundle_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="instances"):
        publish(tmp_path / "none", tmp_path / "repository", options={"instances": 0})
    assert _tree(tmp_path) == set()


def test_publishers_at_once_get_distinct_versions_and_none_is_lost(toy_bundle: Bundle, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(lambda _: publish(toy_bundle, tmp_path / "repository").version, range(12)))
    assert sorted(versions) == list(range(1, 13))
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_a_model_that_another_founds_at_the_last_moment_is_built_upon(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = placing._refuse_foreign

    def overtaken(model: Path, fresh: Path) -> None:
        monkeypatch.setattr(placing, "_refuse_foreign", real)
        assert publish(toy_bundle, tmp_path).version == 1
        real(model, fresh)

    monkeypatch.setattr(placing, "_refuse_foreign", overtaken)
    assert publish(toy_bundle, tmp_path).version == 2


@pytest.mark.parametrize(
    "name", ["..", "/absolute", "a/b", "a\0b", "x" * 300, "white space", "\N{CYRILLIC SMALL LETTER A}"]
)
def test_a_bad_name_touches_nothing(toy_bundle: Bundle, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        publish(toy_bundle, tmp_path / "repository", name=name)
    assert _tree(tmp_path) == set()


def test_a_repository_that_is_a_file_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "repository"
    path.write_text("kept", encoding="utf-8")
    with pytest.raises(RepositoryError, match="not a folder"):
        publish(toy_bundle, path)
    assert path.read_text(encoding="utf-8") == "kept"


def test_an_altered_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    content = bytearray((bundle.path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle.path / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_bundle_without_onnx_is_refused(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    (bundle.path / "model.onnx").unlink()
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match=r"no model\.onnx"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_graph_that_does_not_load_leaves_the_repository_as_it_was(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = _tree(tmp_path)
    broken = write_toy_bundle(tmp_path.parent / f"{tmp_path.name}-broken")
    (broken.path / "model.onnx").write_bytes(b"no graph")
    write_manifest(broken.path)
    with pytest.raises(BundleError, match="cannot load"):
        publish(broken, repository)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("change", ["rename", "dtype", "fixed batch"])
def test_a_graph_that_disagrees_with_its_contract_is_refused(tmp_path: Path, change: str) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    model = onnx.load(bundle.path / "model.onnx")
    if change == "rename":
        model.graph.node[-1].output[0] = model.graph.output[2].name = "map"
    elif change == "dtype":
        model.graph.node[8].attribute[0].i = model.graph.output[3].type.tensor_type.elem_type = onnx.TensorProto.INT64
    else:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, bundle.path / "model.onnx")
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match="disagree"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_another_contract_under_a_served_name_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = _tree(repository)
    other = write_toy_bundle(tmp_path / "other", preset="tf")
    with pytest.raises(RepositoryError, match=r"preprocessing would change.*--name"):
        publish(other, repository)
    assert _tree(repository) == before
    assert publish(other, repository, name="toy-tf").version == 1


def test_other_labels_under_a_served_name_are_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = _content(repository)
    other = write_toy_bundle(tmp_path / "other", labels=("class 0", "class 1", "cat", "class 3"))
    with pytest.raises(RepositoryError, match=r"other labels: class 2, 'class 2', would be 'cat'.*--name"):
        publish(other, repository)
    assert _content(repository) == before
    assert publish(other, repository, name="toy-cat").version == 1


def test_labels_that_only_their_file_knows_are_held_to(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "repository")
    path = tmp_path / "repository" / "toy" / "config.pbtxt"
    config = read_config(path)
    del config.parameters[LABELS_PARAMETER]
    path.write_text(render_config(config), encoding="utf-8")
    other = write_toy_bundle(tmp_path / "other", labels=tuple("abcd"))
    with pytest.raises(RepositoryError, match="other labels"):
        publish(other, tmp_path / "repository")
    publish(toy_bundle, tmp_path / "repository")
    assert read_config(path).parameters[LABELS_PARAMETER].string_value.split("\n") == list(toy_bundle.labels)


def test_a_folder_that_is_no_model_is_not_built_upon(toy_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RepositoryError, match="no published model"):
        publish(toy_bundle, tmp_path)
    assert _tree(tmp_path) == {"toy", "toy/notes.txt"}


def test_a_model_of_another_origin_is_not_built_upon(toy_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "config.pbtxt").write_text('name: "toy"', encoding="utf-8")
    with pytest.raises(RepositoryError, match="not published by camserve"):
        publish(toy_bundle, tmp_path)


def test_a_repository_that_is_a_mount_of_its_own_is_published_into(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a separate file system looks like from here, where no test may mount one.
    monkeypatch.setattr(staging, "_can_stage_beside", lambda root: False)
    assert [publish(toy_bundle, tmp_path).version for _ in range(2)] == [1, 2]
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"config.pbtxt", "labels.txt", "1", "2"}


def test_a_rename_across_mounts_falls_back_to_the_models_folder(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse_across(self: Path, target: Any) -> Path:
        if self.is_relative_to(tmp_path / "repository") != Path(target).is_relative_to(tmp_path / "repository"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_across)
    repository = tmp_path / "repository"
    assert [publish(toy_bundle, repository).version for _ in range(2)] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def _fail_at(monkeypatch: pytest.MonkeyPatch, failing_call: int) -> None:
    """Has the disk run full at one of the renames."""
    calls = iter(range(1, 100))
    for method in ("rename", "replace"):
        real = getattr(Path, method)

        def failing(self: Path, target: Any, real: Any = real) -> Path:
            if next(calls) == failing_call:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, target)  # type: ignore[no-any-return]

        monkeypatch.setattr(Path, method, failing)


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("failing_call", range(1, 5))
def test_a_disk_that_fails_at_any_rename_leaves_no_half_model(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool, failing_call: int
) -> None:
    monkeypatch.setattr(staging, "_can_stage_beside", lambda root: beside)
    _fail_at(monkeypatch, failing_call)
    if beside and failing_call > 2:
        publish(toy_bundle, tmp_path / "repository")
        assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    else:
        with pytest.raises(RepositoryError, match="No space left"):
            publish(toy_bundle, tmp_path / "repository")
        assert _tree(tmp_path) == set()


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("failing_call", range(1, 4))
def test_a_disk_that_fails_at_any_rename_leaves_the_standing_model_as_it_was(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool, failing_call: int
) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    (repository / "toy" / "labels.txt").write_text("edited\nby\nhand\n.\n", encoding="utf-8")
    before = _content(tmp_path)
    monkeypatch.setattr(staging, "_can_stage_beside", lambda root: beside)
    _fail_at(monkeypatch, failing_call)
    with pytest.raises(RepositoryError, match="No space left"):
        publish(toy_bundle, repository, options=ServingOptions(max_batch_size=2))
    assert _content(tmp_path) == before


def test_an_empty_folder_of_the_model_is_left_empty_by_a_failure(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    monkeypatch.setattr(staging, "_can_stage_beside", lambda root: False)
    _fail_at(monkeypatch, 4)
    with pytest.raises(RepositoryError, match="No space left"):
        publish(toy_bundle, tmp_path)
    assert _tree(tmp_path) == {"toy"}


def test_a_failure_removes_every_folder_that_was_made(tmp_path: Path) -> None:
    broken = write_toy_bundle(tmp_path / "broken")
    (broken.path / "model.onnx").write_bytes(b"no graph")
    write_manifest(broken.path)
    (tmp_path / "standing").mkdir()
    with pytest.raises(BundleError, match="cannot load"):
        publish(broken, tmp_path / "standing" / "new" / "a" / "b")
    assert _tree(tmp_path / "standing") == set()
    assert (tmp_path / "standing").is_dir()
