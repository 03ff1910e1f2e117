"""Publishing with the model that takes image files: one unit with the model itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import RepositoryError, UsageError
from camserve.serving import ServingOptions, list_models, publish
from camserve.serving.config.message import read_config, read_options
from camserve.serving.publishing import draft
from camserve.serving.publishing.image_file_code import write_code
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.lint.engine import lint_repository
from camserve.serving.repository.prune import prune
from camserve.serving.repository.verify import verify_repository

WITH = {"image_files": True}
_PACKAGES = {"PIL", "annotated_types", "camserve", "numpy", "pydantic", "pydantic_core", "typing_extensions"}
_PACKAGES |= {"typing_inspection"}


def _code(repository: Path, version: int) -> Path:
    return repository / "toy" / str(version) / "image_files.zip"


def test_code_and_model_are_published_together(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={**WITH, "image_file_instances": 3})
    config = read_config(tmp_path / "toy_file" / "config.pbtxt")
    assert (config.backend, config.max_batch_size, config.instance_group[0].count) == ("python", 8, 3)
    assert [each.name for each in config.output] == [
        "label",
        "probability",
        "index",
        "version",
        "probabilities",
        "cam",
        "cam_class",
        "overlay",
    ]
    assert (_code(tmp_path, 1)).is_file()
    assert verify_repository(tmp_path).faults == ()
    assert {each.name: each.image_files_of for each in list_models(tmp_path)} == {"toy": None, "toy_file": "toy"}
    assert not [each for each in lint_repository(tmp_path, cores=2) if each.model == "toy_file"]


def test_the_copied_code_imports_nothing_but_numpy_pillow_and_pydantic(tmp_path: Path) -> None:
    write_code(tmp_path / "code.zip")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "code.zip")!r})
import camserve.clients.image_file_model
print(*{{name.split(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)}})
print(*[module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "camserve"])
"""
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    packages, files = result.stdout.splitlines()
    known = {*sys.stdlib_module_names, "__main__", "_distutils_hack", "cython_runtime"}
    assert {
        each for each in set(packages.split()) - known if not each.startswith(("_cython", "_sysconfig"))
    } <= _PACKAGES
    assert all(file.startswith(str(tmp_path)) for file in files.split())


def test_every_changed_byte_of_the_code_is_found(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options=WITH)
    for path in (_code(tmp_path, 1), tmp_path / "toy_file" / "1" / "model.py"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"!")
        (fault,) = verify_repository(tmp_path).faults
        assert path.name in fault.what
        path.write_bytes(content)
    assert verify_repository(tmp_path).faults == ()


def test_a_later_version_keeps_image_files(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options=WITH)
    before = (tmp_path / "toy_file" / "config.pbtxt").read_text()
    publish(toy_bundle, tmp_path)
    assert _code(tmp_path, 2).is_file()
    assert (tmp_path / "toy_file" / "config.pbtxt").read_text() == before
    publish(toy_bundle, tmp_path, options={"max_batch_size": 3})
    config = read_config(tmp_path / "toy_file" / "config.pbtxt")
    assert config.max_batch_size == 3
    assert read_options(read_config(tmp_path / "toy" / "config.pbtxt"))["image_files"]


def test_the_model_leaves_with_the_option(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options=WITH)
    publish(toy_bundle, tmp_path, options={"image_files": False})
    assert not (tmp_path / "toy_file").exists()
    assert not _code(tmp_path, 2).exists()
    assert verify_repository(tmp_path).faults == ()
    publish(toy_bundle, tmp_path, options=ServingOptions(image_files=True))
    assert _code(tmp_path, 3).is_file()
    assert verify_repository(tmp_path).faults == ()


def test_a_rollback_restores_the_code_of_its_version(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(draft, "write_code", lambda path: path.write_bytes(b"of an earlier release"))
        publish(toy_bundle, tmp_path, options=WITH)
    publish(toy_bundle, tmp_path, options={"image_files": False})
    publish(toy_bundle, tmp_path, options=WITH)
    assert rollback(tmp_path, "toy", to=1).version == 4
    assert _code(tmp_path, 4).read_bytes() == b"of an earlier release"
    assert rollback(tmp_path, "toy", to=2).version == 5  # a version without code gets that of this installation
    assert _code(tmp_path, 5).is_file()
    publish(toy_bundle, tmp_path, options={"image_files": False})
    assert rollback(tmp_path, "toy", to=1).version == 7
    assert not _code(tmp_path, 7).exists()
    assert verify_repository(tmp_path).faults == ()


def test_pruning_removes_code_with_its_version(toy_bundle: Bundle, tmp_path: Path) -> None:
    for _ in range(3):
        publish(toy_bundle, tmp_path, options=WITH)
    assert [each.version for each in prune(tmp_path, keep=1)] == [1, 2]
    assert not (tmp_path / "toy" / "1").exists()
    assert (tmp_path / "toy_file" / "1" / "model.py").is_file()
    with pytest.raises(RepositoryError, match="toy_file takes image files for toy"):
        prune(tmp_path, keep=1, models=["toy_file"])


def test_a_model_of_another_kind_with_that_name_is_not_touched(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, name="toy_file")
    before = (tmp_path / "toy_file" / "config.pbtxt").read_text()
    with pytest.raises(RepositoryError, match="toy_file exists, and does not take image files for toy"):
        publish(toy_bundle, tmp_path, options=WITH)
    assert not (tmp_path / "toy").exists()
    assert (tmp_path / "toy_file" / "config.pbtxt").read_text() == before
    publish(toy_bundle, tmp_path, name="other", options=WITH)
    with pytest.raises(RepositoryError, match="takes image files for other"):
        publish(toy_bundle, tmp_path, name="other_file")


def test_outputs_follow_a_changed_contract(toy_bundle: Bundle, tmp_path: Path) -> None:
    other = write_toy_bundle(tmp_path / "other", classes=7)
    repository = tmp_path / "repository"
    publish(toy_bundle, repository, options=WITH)
    publish(other, repository, allow_contract_change=True)
    outputs = {each.name: each for each in read_config(repository / "toy_file" / "config.pbtxt").output}
    assert list(outputs["probabilities"].dims) == [7]
    assert verify_repository(repository).faults == ()


def test_an_orphan_is_reported_and_removed(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options=WITH)
    publish(toy_bundle, tmp_path, name="second")
    shutil.rmtree(tmp_path / "toy")
    (finding,) = [each for each in lint_repository(tmp_path, cores=2) if each.severity == "error"]
    assert (finding.rule, finding.model) == ("image-files-without-model", "toy_file")
    publish(toy_bundle, tmp_path, name="second")
    assert not (tmp_path / "toy_file").exists()


def test_instances_require_image_files(toy_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="image_file_instances requires image_files"):
        publish(toy_bundle, tmp_path, options={"image_file_instances": 4})
