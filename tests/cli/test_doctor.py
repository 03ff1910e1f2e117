"""`camserve doctor`, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.command_line import call, run
from support.hosts import GPU_HOST, LAPTOP, host_with

from camserve.cli import doctor, doctor_view
from camserve.doctor import PURPOSES, Problem, judge


@pytest.mark.slow
def test_the_doctor_describes_this_host(tmp_path: Path) -> None:
    result = run("doctor", "--json", "--quiet")
    report = json.loads(result.stdout)
    assert (result.returncode, report["faults"], result.stderr) == (0, [], "")
    assert report["sound"]
    assert [verdict["purpose"] for verdict in report["purposes"]] == list(PURPOSES)
    ready = {verdict["purpose"] for verdict in report["purposes"] if verdict["ready"]}
    assert {"clients", "export", "serve-cpu"} <= ready
    assert report["processor"]["cores"] == len(os.sched_getaffinity(0))
    assert report["onnxruntime"]["packages"] == {"onnxruntime": version("onnxruntime")}
    assert report["onnxruntime"]["problems"]["CPU"] is None
    assert report["openvino"]["version"] == version("openvino")
    assert {"FP32", "INT8"} <= set(report["openvino"]["precisions"])
    assert report["export_tools"]["keras"] == version("keras")
    assert report["triton"]["wheel"] == version("nvidia-pytriton")


def test_the_purposes_of_the_command_are_those_of_the_doctor() -> None:
    assert list(doctor._NAMES) == list(PURPOSES)


def test_the_exit_code_of_for_tells_whether_a_purpose_is_ready() -> None:
    ready = call("doctor", "--for", "serve-cpu", "--for", "clients", "--json")
    assert ready.returncode == 0
    assert [verdict["ready"] for verdict in json.loads(ready.stdout)["purposes"]] == [True, True]
    missing = call("doctor", "--for", "serve-gpu")
    assert missing.returncode == 1
    assert "pip uninstall --yes onnxruntime && pip install 'camserve[server-gpu]'" in missing.stdout


def test_a_misspelled_purpose_is_wrong_usage() -> None:
    result = call("doctor", "--for", "serve-gpus")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith("hint: Did you mean 'serve-gpu'?\n")


def test_the_command_imports_no_framework_and_no_module_of_unix() -> None:
    code = """if True:
        import sys
        for name in ("fcntl", "pwd", "resource"):
            sys.modules[name] = None
        from camserve.cli import main
        try:
            main(["doctor", "--for", "clients", "--for", "serve-cpu", "--quiet"])
        except SystemExit as end:
            assert end.code == 0, end.code
        print([name for name in ("onnxruntime", "tensorflow", "numpy", "tritonclient") if name in sys.modules])
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("columns", [60, 120])
def test_the_report_fits_the_terminal_and_its_commands_can_be_pasted(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    host = host_with(LAPTOP)
    fault = Problem("onnxruntime and onnxruntime-gpu are installed", "Remove them: pip uninstall --yes onnxruntime")
    doctor_view.show(host, [judge(purpose, host) for purpose in PURPOSES], [fault])
    lines = capsys.readouterr().out.splitlines()
    tables = lines[: lines.index("for serve-gpu:")]
    assert max(len(line.rstrip()) for line in tables) <= columns
    assert lines[lines.index("for serve-gpu:") + 1] == "  Replace it: pip ..."
    assert lines[-3:] == [f"fault: {fault.what}", f"  {fault.remedy}", "1 fault"]


def test_a_gpu_host_is_described_in_full(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    host = host_with(GPU_HOST)
    doctor_view.show(host, [judge(purpose, host) for purpose in PURPOSES], [])
    text = capsys.readouterr().out
    for expected in (
        "16 cores, Intel(R) Xeon(R) Platinum 8480+; instructions: AVX2, AVX-512, VNNI, AMX, bf16",
        "NVIDIA H100 80GB HBM3, 79.6 GB, compute capability 9.0",
        "580.95.05, supports CUDA 13.0",
        "libcudart.so.13 in /site-packages/nvidia/cu13/lib; libcudnn.so.9 in /site-packages/nvidia/cudnn/lib",
        "onnxruntime-gpu 1.31.1, built for CUDA 13.0; lists the providers CUDA, CPU",
        "none found; NVIDIA's container contains it",
        "openvino 2026.4.1; computes in FP32, FP16, BF16, INT8",
        "no faults",
    ):
        assert expected in text
