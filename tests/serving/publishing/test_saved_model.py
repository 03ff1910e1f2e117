"""Publishing a SavedModel for the tensorflow backend, without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.toy import write_toy_bundle

from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError
from camserve.manifest import verify_manifest, write_manifest
from camserve.serving import list_models, publish
from camserve.serving.config.message import read_config
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.verify import verify_repository


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The toy with a folder that looks like a SavedModel."""
    folder = write_toy_bundle(tmp_path / "bundle").path
    (folder / "saved_model" / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        (folder / "saved_model" / name).write_text(name)
    write_manifest(folder)
    return load_bundle(folder)


def test_the_saved_model_is_copied_and_configured(bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(bundle, tmp_path / "repository", backend="tensorflow")
    files = set(verify_manifest(publication.path))
    assert {"model.savedmodel/saved_model.pb", "model.savedmodel/variables/variables.index"} < files
    assert "model.onnx" not in files
    config = read_config(tmp_path / "repository" / "toy" / "config.pbtxt")
    assert (config.backend, config.default_model_filename) == ("tensorflow", "model.savedmodel")


def test_the_backend_of_a_model_can_change_and_roll_back(bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(bundle, repository, options={"latest_versions": 2})
    publish(bundle, repository, backend="tensorflow")
    # A version in the other format cannot be served together with it.
    assert list_models(repository)[0].served == (2,)
    assert rollback(repository, "toy").version == 3
    assert read_config(repository / "toy" / "config.pbtxt").backend == "onnxruntime"
    assert rollback(repository, "toy", to=2).version == 4
    assert read_config(repository / "toy" / "config.pbtxt").backend == "tensorflow"
    assert verify_repository(repository).faults == ()


def test_a_bundle_without_a_saved_model_is_refused(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"has no model\.savedmodel.*--formats savedmodel"):
        publish(bundle, tmp_path / "repository", backend="tensorflow")
    assert not (tmp_path / "repository").exists()
