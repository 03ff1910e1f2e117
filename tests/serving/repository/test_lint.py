"""The linter: each problem is found, and nothing is found without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from support.linting import CORES, Lint, accelerator_parameters, with_precision
from support.model_folder import toy_config, write_model_folder

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import RepositoryError, UsageError
from camserve.serving.config.presets import PRESETS, HostProfile, preset_options
from camserve.serving.repository.lint.engine import RULES, lint_repository, read_model
from camserve.serving.repository.lint.findings import Finding
from camserve.serving.repository.lint.targets import RELEASES, find_target

_TENSORRT = {"accelerator": "tensorrt"}
_CUDA = {"accelerator": "cuda", "batch_sizes": (1, 8)}


def test_a_published_model_has_no_findings(toy_repository: Path) -> None:
    assert lint_repository(toy_repository) == ()


_OLD_RELEASES = ("24.04", "24.05", "24.06")
_REFUSED = ("gpu", "int8")


@pytest.mark.parametrize("triton", RELEASES)
def test_a_published_model_has_no_findings_for_any_release(lint: Lint, triton: str) -> None:
    assert lint(triton=triton) == ([("unsupported-cuda-option", "error")] if triton in _OLD_RELEASES else [])


@pytest.mark.parametrize(
    ("preset", "precision"),
    # Publishing refuses int8 on CUDA.
    [(name, precision) for name in PRESETS for precision in ("fp32", "fp16", "int8") if (name, precision) != _REFUSED],
)
def test_a_preset_has_no_findings(lint: Lint, preset: str, precision: str) -> None:
    options = preset_options(preset, HostProfile(cores=CORES, precision=precision))
    assert lint(damage=with_precision(precision), options=options, precision=precision) == []


@pytest.mark.parametrize(
    "options",
    [
        {"accelerator": "none", "instances": 2, "threads": 2},
        {**_CUDA, "gpu_mem_limit": 2**30, "instances": 8},
        {**_CUDA, "prefer_nhwc": True, "fuse_conv_bias": True, "cuda_graphs": True},
        _TENSORRT,
        {**_TENSORRT, "tensorrt_opt_batch_size": 4, "max_batch_size": 32},
        {**_TENSORRT, "tensorrt_workspace": 2**30},
        {"accelerator": "openvino"},
        {"max_batch_size": 1},
    ],
)
def test_configurations_from_options_have_no_findings(lint: Lint, options: dict[str, Any]) -> None:
    assert lint(options=options) == []


def _cleared(name: str) -> Callable[[Any], object]:
    return lambda config: config.ClearField(name)


def _accelerator(name: str, device: str = "gpu", **parameters: str) -> Callable[[Any], object]:
    def add(config: Any) -> None:
        accelerators = config.optimization.execution_accelerators
        getattr(accelerators, f"{device}_execution_accelerator").add(name=name, parameters=parameters)

    return add


def _set(name: str, value: object) -> Callable[[Any], object]:
    return lambda config: setattr(config, name, value)


def _queue(name: str, value: object) -> Callable[[Any], object]:
    return lambda config: setattr(config.dynamic_batching.default_queue_policy, name, value)


def _contract(old: str, new: str) -> Callable[[Any], object]:
    def change(config: Any) -> None:
        parameter = config.parameters[CONTRACT_PARAMETER]
        assert old in parameter.string_value
        parameter.string_value = parameter.string_value.replace(old, new)

    return change


def _instances(count: int) -> Callable[[Any], object]:
    return lambda config: setattr(config.instance_group[0], "count", count)


@pytest.mark.parametrize(
    ("change", "rule", "severity"),
    [
        (_cleared("instance_group"), "missing-instance-group", "warning"),
        (_queue("max_queue_size", 8), "pausing-queue", "warning"),
        (_queue("default_timeout_microseconds", 8), "pausing-queue", "warning"),
        (_queue("allow_timeout_override", True), "pausing-queue", "warning"),
        (lambda config: setattr(config.dynamic_batching, "priority_levels", 2), "pausing-queue", "warning"),
        (_cleared("model_warmup"), "warm-up-gap", "warning"),
        (_set("max_batch_size", 16), "warm-up-gap", "warning"),
        (lambda config: config.model_warmup.pop(0), "warm-up-gap", "warning"),
        (_instances(2), "threads-above-cores", "warning"),
        (lambda config: config.parameters.pop(CONTRACT_PARAMETER), "missing-contract", "warning"),
        (_contract('"in_graph":false', '"in_graph":"no"'), "invalid-contract", "error"),
        (_contract('"version":1', '"version":2'), "invalid-contract", "error"),
        (_set("name", "other"), "name-mismatch", "error"),
        (_accelerator("tensort"), "unknown-accelerator", "error"),
        (_accelerator("cuda", device="cpu"), "unknown-accelerator", "error"),
        (lambda config: accelerator_parameters(config).update(gpu_mem_limit="1"), "cuda-option-misplaced", "error"),
        (lambda config: config.version_policy.specific.versions.append(2), "missing-served-version", "error"),
    ],
)
def test_a_problem_in_the_configuration_is_found(
    lint: Lint, change: Callable[[Any], object], rule: str, severity: str
) -> None:
    assert lint(change) == [(rule, severity)]


def test_a_model_without_dynamic_batching_has_no_findings(lint: Lint) -> None:
    assert lint(_cleared("dynamic_batching")) == []


def test_a_missing_batch_size_is_found(lint: Lint) -> None:
    assert lint(_cleared("max_batch_size")) == [("missing-max-batch-size", "warning")]


@pytest.mark.parametrize(
    ("threads", "instances", "found"), [("2", 2, False), ("3", 2, True), ("0", 1, False), ("5", 1, True)]
)
def test_threads_are_counted_over_all_instances(lint: Lint, threads: str, instances: int, found: bool) -> None:
    def change(config: Any) -> None:
        config.parameters["intra_op_thread_count"].string_value = threads
        config.instance_group[0].count = instances

    assert bool(lint(change)) == found


def _without_profiles(config: Any) -> None:
    for which in ("min", "opt", "max"):
        del accelerator_parameters(config)[f"trt_profile_{which}_shapes"]


def _with_larger_batches(config: Any) -> None:
    config.max_batch_size = 16
    config.model_warmup[1].batch_size = 16
    config.model_warmup.add().CopyFrom(config.model_warmup[1])
    config.model_warmup[2].batch_size = 8


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_without_profiles, [("tensorrt-profile", "warning")]),
        (_with_larger_batches, [("tensorrt-profile", "error")]),
        (lambda config: accelerator_parameters(config).update(trt_profile_min_shapes="image:2x8x8x3"), None),
        (
            lambda config: accelerator_parameters(config).update(trt_profile_opt_shapes="image:4x8x8x3"),
            [("warm-up-gap", "warning")],
        ),
        (lambda config: accelerator_parameters(config).update(trt_fp16="1"), [("unknown-tensorrt-parameter", "error")]),
        (
            lambda config: accelerator_parameters(config).update(precision_mode="FP16"),
            [("tensorrt-precision", "error")],
        ),
        (
            lambda config: accelerator_parameters(config).update(precision_mode="INT8"),
            [("tensorrt-precision", "error")],
        ),
        (lambda config: accelerator_parameters(config).pop("trt_engine_cache_prefix"), [("engine-cache", "error")]),
        (
            lambda config: accelerator_parameters(config).update(trt_engine_cache_enable="0"),
            [("engine-cache", "warning")],
        ),
        (lambda config: config.version_policy.specific.versions.extend([1, 1]), [("engine-cache", "error")]),
    ],
)
def test_problems_of_tensorrt_are_found(
    lint: Lint, change: Callable[[Any], object], found: list[tuple[str, str]] | None
) -> None:
    expected = found or [("tensorrt-profile", "error"), ("warm-up-gap", "warning")]
    assert lint(change, options=_TENSORRT) == expected


@pytest.mark.parametrize(
    ("mode", "precision", "triton", "found"),
    [("FP16", "fp16", "26.06", False), ("INT8", "int8", "26.06", False), ("FP16", "int8", "26.06", True)]
    + [
        (mode, "fp32", triton, triton >= "26.06") for mode in ("FP16", "INT8") for triton in ("26.05", "26.06", "26.09")
    ],
)
def test_a_precision_of_tensorrt_11_must_be_that_of_the_graph(
    lint: Lint, mode: str, precision: str, triton: str, found: bool
) -> None:
    expected = [("tensorrt-precision", "error")] if found else []
    assert (
        lint(
            lambda config: accelerator_parameters(config).update(precision_mode=mode),
            with_precision(precision),
            options=_TENSORRT,
            triton=triton,
        )
        == expected
    )


@pytest.mark.parametrize(("triton", "hint"), [("25.03", "Use Triton 25.04 or newer, and"), ("25.04", "Limit them:")])
def test_a_decoupled_model_is_found(triton: str, hint: str, toy_bundle: Bundle, tmp_path: Path) -> None:
    config = toy_config(toy_bundle)
    config.model_transaction_policy.decoupled = True
    write_model_folder(tmp_path, toy_bundle, config)
    (finding,) = lint_repository(tmp_path, triton=triton)
    assert (finding.rule, finding.severity) == ("unlimited-responses", "warning")
    assert finding.hint.startswith(hint)


def _as_tensorflow(config: Any) -> None:
    config.backend, config.platform = "", "tensorflow_savedmodel"


@pytest.mark.parametrize(("triton", "found"), [("25.02", []), ("25.03", [("tensorflow-gone", "error")])])
def test_the_tensorflow_platform_is_an_error_without_its_backend(
    lint: Lint, triton: str, found: list[tuple[str, str]]
) -> None:
    assert lint(_as_tensorflow, triton=triton) == found


def test_camserves_tensorflow_backend_is_only_a_warning(lint: Lint) -> None:
    assert lint(_set("backend", "tensorflow")) == [("tensorflow-gone", "warning")]


def _stamped(**versions: int) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / "1" / "model.onnx"
        model = onnx.load(path)
        model.opset_import[0].version = versions.get("opset", 17)
        model.ir_version = versions.get("ir", 8)
        onnx.save(model, path)

    return damage


@pytest.mark.parametrize(
    ("triton", "opset", "ir", "found"),
    [
        ("24.04", 20, 9, False),
        ("24.04", 21, 9, True),
        ("24.04", 20, 10, True),
        ("25.05", 22, 10, False),
        ("25.05", 23, 10, True),
        ("26.07", 26, 13, False),
        ("26.07", 27, 8, True),
        ("26.07", 17, 14, True),
    ],
)
def test_a_model_newer_than_the_targets_onnx_runtime_is_found(
    lint: Lint, triton: str, opset: int, ir: int, found: bool
) -> None:
    expected = [("onnx-too-new", "error")] if found else []
    assert lint(damage=_stamped(opset=opset, ir=ir), options={"accelerator": "none"}, triton=triton) == expected


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: (folder / "labels.txt").unlink(), [("missing-labels", "error")]),
        (lambda folder: (folder / "1" / "model.onnx").unlink(), [("missing-model-file", "error")]),
        (
            lambda folder: (folder / "1").rename(folder / "01"),
            [("bad-version-folder", "warning"), ("missing-model-file", "error")],
        ),
        (lambda folder: (folder / "1.tmp").mkdir(), [("bad-version-folder", "error")]),
        (lambda folder: (folder / "0").mkdir(), [("bad-version-folder", "warning")]),
        (lambda folder: (folder / "2.partial").mkdir(), [("bad-version-folder", "warning")]),
        (lambda folder: (folder / "notes").mkdir(), [("stray-entry", "warning")]),
        (lambda folder: (folder / "config.pbtxt~").touch(), [("stray-entry", "warning")]),
        (lambda folder: (folder / "config.pbtxt").write_text("name: {"), [("unreadable-config", "error")]),
        (lambda folder: (folder / "config.pbtxt").unlink(), [("no-model", "error")]),
        (lambda folder: (folder.parent / ".git").mkdir(), [("no-model", "error")]),
        (lambda folder: (folder.parent / "README.md").touch(), []),
    ],
)
def test_a_problem_in_the_folder_is_found(
    lint: Lint, damage: Callable[[Path], object], found: list[tuple[str, str]]
) -> None:
    assert sorted(lint(damage=damage)) == found


def test_labels_may_be_in_the_folder_of_a_version(lint: Lint) -> None:
    def change(config: Any) -> None:
        for output in config.output:
            output.label_filename = output.label_filename and "1/labels.txt"

    assert lint(change, lambda folder: (folder / "labels.txt").rename(folder / "1" / "labels.txt")) == []


def test_an_ensemble_needs_no_instances_and_no_batching(lint: Lint) -> None:
    def change(config: Any) -> None:
        for name in ("instance_group", "dynamic_batching", "model_warmup", "max_batch_size", "backend"):
            config.ClearField(name)
        config.ensemble_scheduling.SetInParent()

    assert lint(change) == []


def test_findings_are_sorted_by_model_with_errors_first(toy_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("b", "a"):
        config = toy_config(toy_bundle, name="other")
        config.ClearField("model_warmup")
        write_model_folder(tmp_path, toy_bundle, config, name=name)
    found = [(finding.model, finding.severity) for finding in lint_repository(tmp_path)]
    assert found == [("a", "error"), ("a", "warning"), ("b", "error"), ("b", "warning")]


def test_every_rule_is_covered_by_these_tests() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [rule for rule in RULES if f'"{rule.__name__.replace("_", "-")}"' not in text] == []


def test_the_guide_lists_every_rule() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    table = guide.partition("## What the linter finds\n")[2].partition("\n## ")[0]
    names = {rule.__name__.replace("_", "-") for rule in RULES} | {"no-model", "unreadable-config"}
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`([a-z0-9-]+)`", cell)} == names


def test_an_unknown_release_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"19\.01") as caught:
        find_target("19.01", cores=2)
    assert all(release in str(caught.value.hint) for release in RELEASES)


def test_a_release_newer_than_all_known_ones_is_reported_as_such() -> None:
    with pytest.raises(
        UsageError, match=r"unknown Triton release '39\.01': the newest release that camserve knows is"
    ) as caught:
        find_target("39.01", cores=2)
    assert f"--target-triton {list(RELEASES)[-1]}" in str(caught.value.hint)


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="none"):
        lint_repository(tmp_path / "none")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_metadata_equals_that_read_by_onnx(precision: str, toy_bundle: Bundle, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, toy_bundle, toy_config(toy_bundle))
    with_precision(precision)(folder)
    metadata = read_model(folder).onnx[1]
    assert (metadata.half, metadata.quantized) == (precision == "fp16", precision == "int8")
    model = onnx.load(folder / "1" / "model.onnx")
    assert (metadata.ir, dict(metadata.opsets)) == (
        model.ir_version,
        {each.domain: each.version for each in model.opset_import},
    )


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08", b"\x08"])
def test_a_file_other_than_onnx_has_no_metadata(content: bytes, toy_bundle: Bundle, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, toy_bundle, toy_config(toy_bundle))
    (folder / "1" / "model.onnx").write_bytes(content)
    assert read_model(folder).onnx == {}


def test_a_finding_contains_the_fix(toy_bundle: Bundle, tmp_path: Path) -> None:
    config = toy_config(toy_bundle)
    config.ClearField("instance_group")
    write_model_folder(tmp_path, toy_bundle, config)
    (finding,) = lint_repository(tmp_path, cores=2)
    assert finding == Finding(
        "missing-instance-group",
        "warning",
        "toy",
        "instance_group is missing: a CPU gets 2 instances with 2 threads each",
        "Set it: camserve publish BUNDLE_DIR --repository DIR --instances 1",
    )
