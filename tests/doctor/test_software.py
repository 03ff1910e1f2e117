"""Libraries, ONNX Runtime, the export tools and Triton: as installed here, and as they could be installed."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.installed_packages import add_package

from camserve.doctor import embedded_triton
from camserve.doctor.attempt import attempt
from camserve.doctor.cuda_libraries import cudnn_packages, find_cuda_libraries
from camserve.doctor.embedded_triton import check_triton
from camserve.doctor.export_tools import try_export_tools
from camserve.doctor.onnx_runtime import try_provider
from camserve.doctor.session_attempt import MODEL
from camserve.errors import ServerError


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (program("print('fine')"), None),
        (program("import os; os.kill(os.getpid(), 11)"), "it ended by signal SIGSEGV"),
        (program("import time; time.sleep(60)"), "it did not end within 1 s"),
        (program("raise SystemExit(3)"), "it ended with exit code 3"),
        (program("raise ValueError('no such thing')"), "ValueError: no such thing"),
        (["/no/such/program"], "No such file or directory"),
    ],
)
def test_an_attempt_survives_whatever_happens(command: list[str], problem: str | None) -> None:
    ended = attempt(command, seconds=1)
    assert ended.problem == problem
    assert ended.output == ("" if problem else "fine\n")


def test_libraries_are_found_in_the_order_of_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages, folder = tmp_path / "site-packages", tmp_path / "lib"
    files = [
        packages / "nvidia" / "cu13" / "lib" / "libcudart.so.13",
        packages / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9",
        packages / "nvidia" / "cudnn" / "lib" / "libcudnn_ops.so.9",
        folder / "libcudart.so.13",
        folder / "libcublas.so.12",
        folder / "libz.so.1",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{folder}")
    found = find_cuda_libraries([str(packages)])
    assert found["libcudart.so.13"] == str(files[0])
    assert found["libcudnn.so.9"] == str(files[1])
    assert found["libcublas.so.12"] == str(files[4])
    assert not {"libcudnn_ops.so.9", "libz.so.1"}.intersection(found)


def test_packages_of_cudnn_that_overwrite_each_other_are_found(tmp_path: Path) -> None:
    for name in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cudnn-frontend"):
        add_package(tmp_path, name, "9.1", "nvidia/cudnn/lib/libcudnn.so.9")
    assert cudnn_packages([str(tmp_path)]) == ["nvidia-cudnn-cu12", "nvidia-cudnn-cu13"]


def test_the_model_of_the_attempt_convolves_and_multiplies() -> None:
    model = onnx.load_model_from_string(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Reshape", "MatMul"]
    values = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert [value.shape for value in values] == [(2, 1, 3, 3), (8, 3), (2,)]
    assert np.all(values[0] == 1)
    assert np.all(values[1] == 1)


def test_onnxruntime_computes_on_the_cpu_of_this_host() -> None:
    runtime = try_provider("CPU")
    assert runtime.problem is None
    assert runtime.version == version("onnxruntime")
    assert runtime.packages == {"onnxruntime": version("onnxruntime")}
    assert runtime.cuda is None
    assert "CPUExecutionProvider" in runtime.providers


@pytest.mark.parametrize(("provider", "label"), [("CUDA", "CUDA"), ("TensorRT", "TensorRT")])
def test_onnxruntime_without_a_provider_is_described_as_the_backend_does(provider: str, label: str) -> None:
    problem = try_provider(provider).problem
    assert problem is not None
    assert problem.what == f"onnxruntime {version('onnxruntime')} is installed, which is built without {label}"
    assert problem.remedy == ("Replace it: pip uninstall --yes onnxruntime && pip install 'camserve[server-gpu]'")


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ONNX Runtime failed: it ended by signal SIGSEGV"),
        ("raise ImportError('libonnxruntime.so.1: file too short')", "libonnxruntime.so.1: file too short"),
    ],
)
def test_an_onnxruntime_that_crashes_is_a_problem_and_not_a_crash(
    code: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_package(tmp_path, "onnxruntime-gpu", "1.31.1", "onnxruntime/__init__.py")
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = try_provider("CUDA").problem
    assert problem is not None
    assert what in problem.what
    assert "pip install 'camserve[server-gpu]'" in str(problem.remedy)


def test_an_onnxruntime_that_is_not_installed_is_named_for_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.doctor.onnx_runtime.onnxruntime_packages", dict)
    remedies = [problem.remedy for problem in (try_provider("CPU").problem, try_provider("CUDA").problem) if problem]
    assert remedies == ["Install it: pip install 'camserve[server]'", "Install it: pip install 'camserve[server-gpu]'"]


def test_missing_export_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr("camserve.doctor.export_tools.find_spec", lambda name: None if name[:2] == "tf" else name)
    tools = try_export_tools()
    assert tools.missing == ("tf_keras", "tf2onnx")
    assert tools.problem is not None
    assert tools.problem.remedy == "Install it: pip install 'camserve[export]'"


def test_triton_is_found_or_its_error_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_triton().problem is None
    assert check_triton().wheel == version("nvidia-pytriton")

    def refuse() -> None:
        raise ServerError("the embedded Triton requires glibc 2.35, this system has 2.31", hint="Serve elsewhere")

    monkeypatch.setattr(embedded_triton, "find_triton", refuse)
    triton = check_triton()
    assert triton.program is None
    assert triton.problem is not None
    assert (triton.problem.what[-4:], triton.problem.remedy) == ("2.31", "Serve elsewhere")
