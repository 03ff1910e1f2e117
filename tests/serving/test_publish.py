"""Publishing."""

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER, ModelContract
from camserve.errors import BundleError, RepositoryError, UsageError
from camserve.manifest import verify_manifest, write_manifest
from camserve.serving import ServingOptions, publish, staging
from camserve.serving.config import read_config


def _tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


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


def test_publishers_at_once_get_distinct_versions_and_none_is_lost(toy_bundle: Bundle, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(lambda _: publish(toy_bundle, tmp_path / "repository").version, range(12)))
    assert sorted(versions) == list(range(1, 13))
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


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


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("failing_call", range(1, 5))
def test_a_disk_that_fails_at_any_rename_leaves_no_half_model(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool, failing_call: int
) -> None:
    calls = iter(range(1, 100))
    rename = Path.rename

    def failing(self: Path, target: Any) -> Path:
        if next(calls) == failing_call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(staging, "_can_stage_beside", lambda root: beside)
    monkeypatch.setattr(Path, "rename", failing)
    try:
        publish(toy_bundle, tmp_path / "repository")
    except RepositoryError as error:
        assert "No space left" in str(error)  # noqa: PT017 - whether it fails depends on the number of renames
        assert _tree(tmp_path) == set()
    else:
        assert failing_call > 2
        assert [path.name for path in tmp_path.iterdir()] == ["repository"]
