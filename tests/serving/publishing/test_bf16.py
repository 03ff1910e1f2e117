"""A bundle in bf16 is never served in float32: OpenVINO computes it, and its golden answers are verified there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support.bf16 import needs_bf16
from support.command_line import call
from support.toy import in_bf16, write_toy_bundle

from camserve import openvino_runtime
from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError, RepositoryError, UsageError
from camserve.golden import read_golden
from camserve.serving import list_models, publish
from camserve.serving.config.message import read_config
from camserve.serving.publishing.draft import GoldenFiles
from camserve.serving.publishing.onnx_check import check_servable
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.verify import verify_repository

pytestmark = needs_bf16


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return in_bf16(write_toy_bundle(tmp_path / "bf16"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_onnx_runtime_is_refused(bundle: Bundle, repository: Path) -> None:
    with pytest.raises(UsageError, match="ONNX Runtime would compute a model of precision bf16 in float32") as raised:
        publish(bundle, repository, backend="onnxruntime")
    assert "--backend openvino" in str(raised.value.hint)
    assert not list(repository.glob("toy/*"))


def test_openvino_is_the_default(bundle: Bundle, repository: Path) -> None:
    publication = publish(bundle, repository)
    assert (publication.backend, publication.warnings) == ("openvino", ())
    assert read_config(repository / "toy" / "config.pbtxt").backend == "openvino"
    assert verify_repository(repository).faults == ()


@pytest.mark.slow
def test_the_command_prints_the_backend(bundle: Bundle, repository: Path) -> None:
    result = call("publish", bundle.path, "--repository", repository, "--preset", "cpu-latency")
    assert result.returncode == 0, result.stderr
    assert "Backend openvino, the only one that computes in bf16" in result.stderr
    assert "Backend:   openvino" in result.stdout


def test_float32_computed_in_bf16_does_not_pass(tmp_path: Path) -> None:
    source = write_toy_bundle(tmp_path / "fp32")
    assert source.golden_path is not None
    golden = GoldenFiles(read_golden(source.golden_path, source.contract), None)
    path = source.path / "model.onnx"
    arguments = (path, source.contract, golden)
    assert check_servable(*arguments, tolerance=1e-4, backend="openvino", precision="fp32") == ()
    with pytest.raises(BundleError, match="does not reproduce the golden answers of its export in OpenVINO"):
        check_servable(*arguments, tolerance=1e-4, backend="openvino", precision="bf16")


def test_a_host_without_bf16_compares_in_float32_and_warns(
    bundle: Bundle, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camserve.serving.publishing.runtime_sessions.capabilities", lambda purpose: ("FP32", "INT8"))
    (warning,) = publish(bundle, repository).warnings
    assert warning.startswith("this processor does not compute in bf16, so the golden answers were compared in float32")


def test_without_the_package_the_command_that_installs_it_is_named(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(purpose: str) -> None:
        raise openvino_runtime._missing(purpose, "No module named 'openvino'")

    assert find_spec("openvino") is not None
    monkeypatch.setattr(openvino_runtime, "import_openvino", missing)
    with pytest.raises(UsageError, match="openvino, which publishing for the openvino backend requires") as raised:
        publish(write_toy_bundle(tmp_path / "toy"), repository, backend="openvino")
    assert raised.value.hint == "Install it: pip install 'camserve[openvino]'"


def test_a_version_of_another_precision_is_left_out_with_a_warning(bundle: Bundle, repository: Path) -> None:
    two = {"latest_versions": 2}
    publish(write_toy_bundle(repository.parent / "one"), repository, backend="openvino", options=two)
    warnings = publish(bundle, repository).warnings
    assert list_models(repository)[0].served == (2,)
    assert [each for each in warnings if "version 1 is not served beside the new one: it was exported in fp32" in each]
    first = publish(load_bundle(repository.parent / "one"), repository, backend="openvino")
    assert list_models(repository)[0].served == (1, 3) or list_models(repository)[0].served == (3,)
    assert "version 2 is not served beside the new one: it was exported in bf16" in " ".join(first.warnings)


def test_a_policy_of_a_version_in_another_precision_is_refused(bundle: Bundle, repository: Path) -> None:
    publish(write_toy_bundle(repository.parent / "one"), repository, backend="openvino")
    with pytest.raises(RepositoryError, match="does not serve the new version"):
        publish(bundle, repository, options={"versions": (1,)})
    assert list_models(repository)[0].served == (1,)


def test_a_rollback_chooses_a_backend_that_computes_the_precision(bundle: Bundle, repository: Path) -> None:
    plain = write_toy_bundle(repository.parent / "one")
    publish(plain, repository)
    moved = publish(bundle, repository)
    assert moved.warnings == ("it runs on the backend openvino now, and ran on onnxruntime before",)
    assert rollback(repository, "toy", to=1).backend == "openvino"
    assert read_config(repository / "toy" / "config.pbtxt").parameters["INFERENCE_PRECISION_HINT"].string_value == "f32"
    assert publish(plain, repository).backend == "onnxruntime"
    assert rollback(repository, "toy", to=2).backend == "openvino"
    assert read_config(repository / "toy" / "config.pbtxt").parameters["HINT_BF16"].string_value == "YES"
    assert rollback(repository, "toy", to=4).backend == "openvino"


def test_another_precision_than_bf16_gets_a_note_about_tritons_own_backend_once(
    tmp_path: Path, repository: Path
) -> None:
    plain = write_toy_bundle(tmp_path / "one")
    (note,) = publish(plain, repository, backend="openvino").warnings
    assert "camserve repository backend --backend openvino" in note
    assert publish(plain, repository, backend="openvino").warnings == ()
