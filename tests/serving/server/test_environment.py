"""The Triton installation and its environment."""

import importlib.util
import os
import stat
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from camserve.errors import ServerError
from camserve.serving.server import environment
from camserve.serving.server.environment import (
    BACKENDS,
    assemble_backends,
    check_host,
    copy_backend,
    find_libpython,
    find_triton,
    server_environment,
)

SUPPORTED = ("linux", "x86_64", ("glibc", "2.36"))


def test_a_supported_machine_is_accepted() -> None:
    check_host(*SUPPORTED)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (("darwin", "arm64", ("", "")), "requires Linux on x86-64, this is darwin on arm64"),
        (("linux", "aarch64", ("glibc", "2.36")), "this is linux on aarch64"),
        (("win32", "AMD64", ("", "")), "this is win32"),
        (("linux", "x86_64", ("glibc", "2.31")), r"requires glibc 2\.35, this system has 2\.31"),
        (("linux", "x86_64", ("", "")), "requires glibc"),
    ],
)
def test_an_unsupported_machine_is_refused(host: tuple[str, str, tuple[str, str]], reason: str) -> None:
    with pytest.raises(ServerError, match=reason) as caught:
        check_host(*host)
    assert "container" in (caught.value.hint or "")


def test_a_missing_python_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"requires libpython3\.\d+\.so\.1\.0.*--enable-shared"):
        find_libpython([str(tmp_path), ""])


@pytest.mark.parametrize(("package", "named"), [("pytriton", "nvidia-pytriton"), ("onnxruntime", "onnxruntime")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str, named: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(ServerError, match=rf"{named}.*pip install 'camserve\[server\]'"):
        find_triton()


def test_an_onnxruntime_without_its_main_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)
    rest = PathFinder.find_spec("onnxruntime", [str(tmp_path)])
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: rest if name == "onnxruntime" else find_spec(name))
    monkeypatch.setattr(environment, "onnxruntime_packages", lambda: {"onnxruntime-gpu": "1.31.1"})
    with pytest.raises(ServerError, match=f"{tmp_path}/onnxruntime contains only a part") as caught:
        find_triton()
    assert caught.value.hint == (
        "Install it again: pip uninstall --yes onnxruntime-gpu && pip install 'camserve[server-gpu]'"
    )


def test_a_damaged_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PYTHON", "3.99")
    with pytest.raises(ServerError, match=r"nvidia-pytriton lacks the stub of Python 3\.99"):
        find_triton()


def test_the_environment_has_no_admin_key_and_its_own_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMSERVE_ADMIN_KEY", "a key that models could read")
    variables = server_environment(find_triton(), tmp_path / "backends", temporary=tmp_path)
    assert variables["TMPDIR"] == str(tmp_path)
    assert "CAMSERVE_ADMIN_KEY" not in variables


def test_a_server_for_the_cpu_sees_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    triton = find_triton()
    assert server_environment(triton, tmp_path, temporary=tmp_path)["CUDA_VISIBLE_DEVICES"] == "0"
    assert server_environment(triton, tmp_path, temporary=tmp_path, cpu=True)["CUDA_VISIBLE_DEVICES"] == "-1"


def test_supported_options_are_detected() -> None:
    triton = find_triton()
    assert triton.supports("grpc-restricted-protocol")
    assert not triton.supports("no-such-option-in-any-triton")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_copied_with_its_modules(tmp_path: Path, name: str) -> None:
    copy_backend(name, tmp_path / name)
    copied = {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.py")}
    assert {"model.py", "camserve_backend/__init__.py", "camserve_backend/execution.py"} <= copied
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_backend_directory_is_complete_and_has_no_links(tmp_path: Path) -> None:
    backends = assemble_backends(find_triton(), tmp_path / "backends")
    python = {path.name for path in (backends / "python").iterdir()}
    assert {"libtriton_python.so", "triton_python_backend_utils.py", "triton_python_backend_stub"} <= python
    assert (backends / "python" / "triton_python_backend_stub").stat().st_mode & stat.S_IXUSR
    assert all((backends / name / "model.py").is_file() for name in BACKENDS)
    assert not [path for part in ("python", *BACKENDS) for path in (backends / part).rglob("*") if path.is_symlink()]


def test_the_environment_disables_telemetry_and_finds_this_python(tmp_path: Path) -> None:
    variables = server_environment(find_triton(), tmp_path, temporary=tmp_path)
    assert variables["ORT_DISABLE_TELEMETRY"] == "1"
    assert (Path(variables["PATH"].split(os.pathsep)[0]) / "python3").exists()
