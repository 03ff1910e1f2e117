"""What `benchmarks/gpu.py` measures and reports, on the CPU with a tiny network."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
from support.gpu import pytorch
from support.gpu.bare import ARRAYS, DEVICE, best_rate, measure_sizes
from support.gpu.isolation import MeasurementError, isolated
from support.gpu.load import ClientLoad, Target, apply_load
from support.gpu.profiling import step_times, summarize, write_profile
from support.gpu.report import render
from support.gpu.results import WIDTH, Results, pivot, table
from support.gpu.sessions import LAYOUTS, Case, check_provider
from support.toy import with_pixels, write_toy_bundle

from camserve.serving import TritonServer


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu", Path(__file__).parent.parent / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "fp32"
    with_pixels(write_toy_bundle(folder, size=(12, 12), preset="raw-rgb"))
    return folder


@pytest.fixture
def results() -> Results:
    host = {"gpu": "none", "cores": 2, "python": "3", "packages": {"numpy": "2"}}
    return Results(host, progress=lambda line: None)


def test_arguments(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    full, quick = program.parse([]), program.parse(["bare", "--quick", "--provider", "cpu", "--batches", "1,3"])
    assert (full.provider, full.source, full.batches, full.parts) == ("cuda", "resnet50", (1, 8, 32, 128), [])
    assert full.loads[1] == ClientLoad(images=1, at_once=128, processes=8)
    assert (quick.source, quick.batches, quick.loads[0]) == ("resnet-mini", (1, 3), ClientLoad(1, 1, 1))
    for words, why in (
        (["bear"], "unknown part 'bear'; choose from bare, served, pytorch"),
        (["--loads", "8x64"], "expected IMAGESxATONCExPROCESSES such as 8x64x8, got '8x64'"),
        (["--batches", "0"], "must be at least 1, got 0"),
        (["--precisions", "fp8"], "unknown precision 'fp8'; choose from fp32, fp16, int8"),
        (["--export"], "--export needs a folder: --export --bundles DIR"),
    ):
        with pytest.raises(SystemExit):
            program.parse(words)
        assert why in capsys.readouterr().err


def test_rates_of_sizes_end_with_the_first_that_fails(bundle: Path) -> None:
    measured: Any = measure_sizes(bundle, (3, 1), Case("cpu"), 0.01)
    assert list(measured) == [1, 3]
    assert all(rates[DEVICE] > 1 and rates[ARRAYS] > 1 for rates in measured.values())
    failed = measure_sizes(bundle.parent, (1, 2), Case("cpu"), 0.01)
    assert list(failed) == [1]
    assert "BundleError" in str(failed[1])


def test_missing_cuda_is_a_reason_and_not_measured_on_the_cpu(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MeasurementError, match="requires the CUDA provider"):
        check_provider(bundle, "cuda")
    assert "requires the CUDA provider" in str(measure_sizes(bundle, (1,), Case("cuda"), 0.01)[1])


def test_every_set_of_options_sets_all_of_them() -> None:
    assert {frozenset(options) for options in LAYOUTS.values()} == {
        frozenset(("prefer_nhwc", "fuse_conv_bias", "enable_cuda_graph"))
    }


def test_error_and_crash_of_a_process_are_reasons() -> None:
    with pytest.raises(MeasurementError, match="ValueError: invalid literal"):
        isolated(int, "x")
    with pytest.raises(MeasurementError, match="the process of the measurement crashed"):
        isolated(os._exit, 3)


def test_profile_covers_the_whole_of_a_batch(bundle: Path, tmp_path: Path) -> None:
    steps = step_times(bundle, 4, 4, Case("cpu"))
    assert list(steps) == ["join_and_copy_in_ms", "run_ms", "copy_out_ms", "split_ms"]
    assert all(0 < taken < 1000 for taken in steps.values())
    path = write_profile(bundle, 4, Case("cpu"), tmp_path / "toy")
    operators = summarize(json.loads(Path(path).read_text(encoding="utf-8")), 10)
    assert [row["calls"] for row in operators if "Conv" in row["operator"]] == [1]
    assert sum(row["share"] for row in operators) == pytest.approx(1, abs=0.2)


def test_report_fits_and_lists_what_was_omitted(results: Results) -> None:
    shown = {"precision": "fp32", "maps": "yes", "options": "nhwc fused graph", "tensors": DEVICE}
    for batch, rate in ((1, 1644.2), (8, 8350.0), (128, 14_553.1)):
        results.add("bare", {**shown, "batch": batch, "images_per_second": rate})
    results.add("bare", {**shown, "options": "none", "batch": 8, "images_per_second": 3.25})
    served = {"precision": "fp32", "instances": 2, "images": 128, "at_once": 12, "processes": 4}
    served |= {"transport": "shared memory", "images_per_second": 8448.0, "p50_ms": 181.0, "p99_ms": 250.5}
    stages = dict.fromkeys(("queue_ms", "compute_input_ms", "compute_infer_ms", "compute_output_ms"), 1234.5)
    results.add("served", {**served, **stages, "of_bare": 0.58, "images_in_a_batch": 128.0})
    kernel = {"provider": "kernel", "operator": "cutlass_" * 20, "calls": 53, "ms": 1234.5, "share": 0.00123}
    results.add("operators", {"precision": "fp32", "options": "nhwc fused graph", "batch": 128, **kernel})
    results.omit("bare", "int8, nhwc", "an error\nof " + "many words " * 40)
    report = render(results)
    assert max(map(len, report.splitlines())) <= WIDTH
    assert "| fp32      | yes  | nhwc fused graph | device  | 1,644 | 8,350 | 14,553 |" in report
    assert "| fp32      | yes  | none             | device  |     – |  3.25 |      – |" in report
    assert "- bare, int8, nhwc: an error of many words" in report
    assert best_rate(results, "fp32") == 14_553.1
    assert best_rate(results, "fp16") is None
    assert json.loads(json.dumps(results.document()))["omitted"][0]["what"] == "int8, nhwc"


def test_missing_pytorch_is_a_reason(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "find_spec", lambda name: None)
    pytorch.measure_pytorch(results, provider="cpu", precisions=["fp32"], batches=[1], side=32, seconds=0.01)
    assert results.omitted == [{"part": "pytorch", "what": "all", "reason": "PyTorch is not installed"}]


def test_part_that_fails_leaves_the_others(
    program: ModuleType, bundle: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "measure_pytorch", lambda *_, **__: 1 / 0)
    arguments = program.parse(["pytorch", "--provider", "cpu", "--profile", str(bundle.parent / "profiles"), "--quick"])
    program.measure(arguments, {}, results)
    reasons = [(each["part"], each["reason"]) for each in results.omitted]
    assert reasons == [
        ("bare", "not requested"),
        ("served", "not requested"),
        ("pytorch", "ZeroDivisionError: division by zero"),
    ]


def test_table_aligns_numbers_to_the_right() -> None:
    heads, rows = pivot([{"a": "x", "n": 8, "v": 1.0}, {"a": "x", "n": 16, "v": 2.0}], ["a"], "n", "v")
    assert table(heads, rows).splitlines() == [
        "| a   |   8 |  16 |",
        "| --- | --: | --: |",
        "| x   |   1 |   2 |",
    ]


@pytest.mark.timed
def test_load_of_several_processes_is_counted(toy_server: TritonServer) -> None:
    target = Target(toy_server.grpc_url, "toy", (8, 8, 3), "FP32", (("probabilities", 4, "FP32"),))
    measured = apply_load(target, ClientLoad(2, 3, 2), seconds=0.5, warm_up=0.1, shared_memory=False)
    assert measured.rate == 2 * len(measured.durations) / 0.5 > 10
    assert 0 < measured.percentile_ms(50) <= measured.percentile_ms(99) < 500
    with pytest.raises(MeasurementError, match="nosuch"):
        apply_load(replace(target, model="nosuch"), ClientLoad(1, 1), seconds=0.1, warm_up=0, shared_memory=False)
