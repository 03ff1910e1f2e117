"""Publishing."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from support.folders import content, tree
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import BundleError, RepositoryError, UsageError
from camserve.manifest import verify_manifest, write_manifest
from camserve.serving import ServingOptions, publish
from camserve.serving.config.message import parse_config, read_config, read_options
from camserve.serving.config.named_options import DEFAULTS
from camserve.serving.config.pinning import unpinned
from camserve.serving.repository import ledger, leftovers


def test_a_published_version_is_complete(toy_bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(toy_bundle, tmp_path / "repository")
    assert (publication.name, publication.version) == ("toy", 1)
    assert publication.path == tmp_path / "repository" / "toy" / "1"
    version = {"model.onnx", "contract.json", "golden.npz", "labels.txt", "report.json", "manifest.json"}
    assert tree(publication.path.parent) == {"config.pbtxt", "1", *(f"1/{name}" for name in version)}
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert {path.name for path in (tmp_path / "repository").iterdir()} == {
        "toy",
        ".camserve.lock",
        ".camserve.versions",
    }
    assert set(verify_manifest(publication.path)) == version - {"manifest.json"}
    assert (publication.path / "model.onnx").read_bytes() == (toy_bundle.path / "model.onnx").read_bytes()


def test_the_next_version_follows_the_highest(toy_bundle: Bundle, tmp_path: Path) -> None:
    assert [publish(toy_bundle, tmp_path).version for _ in range(3)] == [1, 2, 3]
    shutil.rmtree(tmp_path / "toy")
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


def test_other_options_stay_unchanged(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "toy" / "config.pbtxt"
    publish(toy_bundle, tmp_path, options=ServingOptions(max_batch_size=2, instances=3))
    config = unpinned(read_config(path))
    publish(toy_bundle, tmp_path)
    assert unpinned(read_config(path)).dynamic_batching == config.dynamic_batching
    publish(toy_bundle, tmp_path, options={"max_queue_delay_us": 7})
    changed = {"max_batch_size": 2, "instances": 3, "max_queue_delay_us": 7}
    assert read_options(unpinned(read_config(path))) == {**DEFAULTS, **changed}


def _edited(text: str) -> str:
    """Return the text of a configuration with an option that camserve does not have."""
    assert text.count("optimization {\n") == 1
    return text.replace("optimization {\n", "optimization {\n  priority: PRIORITY_MAX\n")


def test_settings_and_comments_by_hand_are_kept(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    path = tmp_path / "toy" / "config.pbtxt"
    path.write_text(f"# why: by hand\n{_edited(path.read_text())}")
    publish(toy_bundle, tmp_path)
    assert "# why: by hand\n" in path.read_text()
    assert path.read_text().count("# Written by camserve") == 1
    assert read_config(path).optimization.priority == 1


def test_an_invalid_option_changes_nothing(toy_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="instances"):
        publish(toy_bundle, tmp_path / "repository", options={"instances": 0})
    assert tree(tmp_path) == set()


def test_the_configuration_pins_the_served_versions(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "toy" / "config.pbtxt"
    for number, named in ((1, [1]), (2, [1, 2]), (3, [2, 3])):
        assert publish(toy_bundle, tmp_path, options={"latest_versions": 2}).version == number
        assert read_config(path).version_policy.specific.versions == named
        assert read_config(path).output[0].label_filename == f"{number}/labels.txt"
    publish(toy_bundle, tmp_path, options={"versions": "all"})
    assert read_config(path).version_policy.specific.versions == [1, 2, 3, 4]


def test_the_first_version_must_be_served_by_its_policy(toy_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="does not serve the new version 1"):
        publish(toy_bundle, tmp_path / "repository", options={"versions": (7,)})
    publish(toy_bundle, tmp_path / "repository")
    assert publish(toy_bundle, tmp_path / "repository", options={"versions": (1,)}).version == 2
    path = tmp_path / "repository" / "toy" / "config.pbtxt"
    assert read_config(path).version_policy.specific.versions == [1]
    assert read_config(path).output[0].label_filename == "1/labels.txt"


def test_concurrent_threads_get_distinct_versions(toy_bundle: Bundle, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(lambda _: publish(toy_bundle, tmp_path / "repository").version, range(12)))
    assert sorted(versions) == list(range(1, 13))
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_a_repository_that_is_a_file_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "repository"
    path.write_text("kept", encoding="utf-8")
    with pytest.raises(RepositoryError, match="not a folder"):
        publish(toy_bundle, path)
    assert path.read_text(encoding="utf-8") == "kept"


def test_a_changed_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    content = bytearray((bundle.path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle.path / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx was changed"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_bundle_without_onnx_is_refused(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    (bundle.path / "model.onnx").unlink()
    write_manifest(bundle.path)
    with pytest.raises(BundleError, match=r"no model\.onnx"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_graph_that_does_not_load_changes_nothing(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = tree(tmp_path)
    broken = write_toy_bundle(tmp_path.parent / f"{tmp_path.name}-broken")
    (broken.path / "model.onnx").write_bytes(b"no graph")
    write_manifest(broken.path)
    with pytest.raises(BundleError, match="cannot load"):
        publish(broken, repository)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("change", ["rename", "dtype", "fixed batch"])
def test_a_graph_that_does_not_match_its_contract_is_refused(tmp_path: Path, change: str) -> None:
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
    with pytest.raises(BundleError, match="does not match contract"):
        publish(bundle, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_another_contract_under_the_same_name_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = tree(repository)
    other = write_toy_bundle(tmp_path / "other", preset="tf")
    phases: list[str] = []
    with pytest.raises(RepositoryError, match=r"preprocessing changes.*--name.*--allow-contract-change"):
        publish(other, repository, progress=phases.append)
    assert phases == []  # before anything is copied
    assert tree(repository) == before
    assert publish(other, repository, name="toy-tf").version == 1


def test_other_labels_under_the_same_name_are_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository)
    before = content(repository)
    other = write_toy_bundle(tmp_path / "other", labels=("class 0", "class 1", "cat", "class 3"))
    with pytest.raises(RepositoryError, match=r"labels change: class 2 changes from 'class 2' to 'cat'.*--name"):
        publish(other, repository)
    assert content(repository) == before
    assert publish(other, repository, name="toy-cat").version == 1


def test_a_contract_change_can_be_allowed(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "repository" / "toy" / "config.pbtxt"
    publish(toy_bundle, tmp_path / "repository", options={"latest_versions": 2, "max_batch_size": 3})
    path.write_text(_edited(path.read_text()))
    other = write_toy_bundle(tmp_path / "other", labels=tuple("abcde"), classes=5, size=(6, 4))
    assert publish(other, tmp_path / "repository", allow_contract_change=True).version == 2
    config = read_config(path)
    assert config.parameters[LABELS_PARAMETER].string_value.split("\n") == list("abcde")
    assert list(config.input[0].dims) == [6, 4, 3]
    assert list(config.output[0].dims) == [5]
    assert list(config.model_warmup[0].inputs["image"].dims) == [6, 4, 3]
    assert (config.max_batch_size, config.optimization.priority) == (3, 1)
    # The older version does not satisfy the new contract.
    assert config.version_policy.specific.versions == [2]


def test_a_folder_with_other_files_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RepositoryError, match="is not a published model"):
        publish(toy_bundle, tmp_path)
    assert tree(tmp_path) - {".camserve.lock"} == {"toy", "toy/notes.txt"}


def test_a_model_that_camserve_did_not_publish_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "config.pbtxt").write_text('name: "toy"', encoding="utf-8")
    with pytest.raises(RepositoryError, match="was not published by camserve"):
        publish(toy_bundle, tmp_path)


@pytest.mark.parametrize("changed", [False, True])
def test_the_configuration_is_parsed_again_only_if_it_changed(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    publish(toy_bundle, tmp_path)
    path = tmp_path / "toy" / "config.pbtxt"
    parsed: list[str] = []

    def parse(text: str, path: Path) -> Any:
        if changed and not parsed:  # someone edits the file before the lock is held
            path.write_text(text + "# by hand\n")
        parsed.append(text)
        return parse_config(text, path)

    monkeypatch.setattr(ledger, "parse_config", parse)
    monkeypatch.setattr(leftovers, "read_config", None)
    publish(toy_bundle, tmp_path)
    assert len(parsed) == 1 + changed
    assert ("# by hand\n" in path.read_text()) == changed
