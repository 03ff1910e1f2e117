"""Whether the embedded Triton can run on a host."""

import importlib.util
import os
import stat
from pathlib import Path

import pytest

from camserve.errors import ServerError
from camserve.serving.server import environment
from camserve.serving.server.environment import (
    BACKENDS,
    assemble,
    check_host,
    copy_backend,
    find_libpython,
    find_triton,
    server_environment,
)

HERE = ("linux", "x86_64", ("glibc", "2.36"))


def test_a_host_that_fits_is_accepted() -> None:
    check_host(*HERE)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (("darwin", "arm64", ("", "")), "runs on Linux x86-64 and this is darwin on arm64"),
        (("linux", "aarch64", ("glibc", "2.36")), "this is linux on aarch64"),
        (("win32", "AMD64", ("", "")), "this is win32"),
        (("linux", "x86_64", ("glibc", "2.31")), r"glibc 2\.35 and this system has 2\.31"),
        (("linux", "x86_64", ("", "")), "needs glibc"),
    ],
)
def test_a_host_that_does_not_fit_is_told_why_and_what_to_do(
    host: tuple[str, str, tuple[str, str]], reason: str
) -> None:
    with pytest.raises(ServerError, match=reason) as caught:
        check_host(*host)
    assert "container" in (caught.value.hint or "")


def test_a_missing_python_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"needs libpython3\.\d+\.so\.1\.0.*--enable-shared"):
        find_libpython([str(tmp_path), ""])


@pytest.mark.parametrize(("package", "named"), [("pytriton", "nvidia-pytriton"), ("onnxruntime", "onnxruntime")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str, named: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(ServerError, match=rf"{named}.*pip install 'camserve\[server\]'"):
        find_triton()


def test_a_damaged_package_is_told_from_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PYTHON", "3.99")
    with pytest.raises(ServerError, match=r"nvidia-pytriton lacks the stub of Python 3\.99"):
        find_triton()


def test_the_server_keeps_its_temporary_files_together_and_never_inherits_the_admin_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMSERVE_ADMIN_KEY", "a key that models could read")
    variables = server_environment(find_triton(), tmp_path / "backends", temporary=tmp_path)
    assert variables["TMPDIR"] == str(tmp_path)
    assert "CAMSERVE_ADMIN_KEY" not in variables


def test_a_triton_is_asked_which_options_it_knows() -> None:
    triton = find_triton()
    assert triton.knows("grpc-restricted-protocol")
    assert not triton.knows("no-such-option-in-any-triton")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_copied_with_all_that_it_needs(tmp_path: Path, name: str) -> None:
    copy_backend(name, tmp_path / name)
    held = {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.py")}
    assert {"model.py", "camserve_backend/__init__.py", "camserve_backend/answering.py"} <= held
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_backend_directory_holds_every_backend_and_no_links_that_triton_refuses(tmp_path: Path) -> None:
    backends = assemble(find_triton(), tmp_path / "backends")
    python = {path.name for path in (backends / "python").iterdir()}
    assert {"libtriton_python.so", "triton_python_backend_utils.py", "triton_python_backend_stub"} <= python
    assert (backends / "python" / "triton_python_backend_stub").stat().st_mode & stat.S_IXUSR
    assert all((backends / name / "model.py").is_file() for name in BACKENDS)
    assert not [path for part in ("python", *BACKENDS) for path in (backends / part).rglob("*") if path.is_symlink()]


def test_the_server_sends_no_telemetry_and_finds_this_python_first(tmp_path: Path) -> None:
    variables = server_environment(find_triton(), tmp_path, temporary=tmp_path)
    assert variables["ORT_DISABLE_TELEMETRY"] == "1"
    assert (Path(variables["PATH"].split(os.pathsep)[0]) / "python3").exists()
