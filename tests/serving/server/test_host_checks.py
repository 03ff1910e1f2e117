"""Checks of the host before a start, and hints that name the host instead of a model."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.errors import RepositoryError
from camserve.serving.server.host_checks import check_readable, shared_memory_need
from camserve.serving.server.host_hints import host_hint, limits_hint, start_error
from camserve.serving.server.host_memory import size_text

MEGABYTE = 2**20

_START = """
import sys
from pathlib import Path
from camserve.errors import CamserveError
from camserve.serving import TritonServer
try:
    with TritonServer(Path(sys.argv[1]), start_timeout=30):
        print("ready", flush=True)
except CamserveError as error:
    print(error)
"""


def _start_where(setup: str, repository: Path) -> str:
    """Start a server in a mount namespace of its own, and return what it printed."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("requires root and a mount namespace")
    script = f'{setup} && exec "$1" -c "$2" "$3"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, _START, str(repository)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.slow
def test_a_temporary_folder_without_programs_is_named(toy_repository: Path, tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o noexec,size=64m tmpfs {tmp_path} && export TMPDIR={tmp_path}"
    printed = _start_where(mount, toy_repository)
    assert f"folder for temporary files, {tmp_path}, which is mounted with noexec. Set TMPDIR" in printed


@pytest.mark.slow
def test_a_full_temporary_folder_is_named(toy_repository: Path, tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path} && export TMPDIR={tmp_path}"
    printed = _start_where(mount, toy_repository)
    assert f"No space left on device: {tmp_path}/camserve-triton-" in printed
    assert "Set TMPDIR" in printed


@pytest.mark.slow
def test_an_unusable_tmpdir_is_reported(toy_repository: Path, tmp_path: Path) -> None:
    printed = _start_where(f"export TMPDIR={tmp_path}/missing", toy_repository)
    assert "ready" in printed
    assert f"TMPDIR={tmp_path}/missing is not a folder in which this user can create files; using /" in printed


@pytest.mark.slow
def test_too_little_shared_memory_is_named(toy_repository: Path) -> None:
    printed = _start_where("mount -t tmpfs -o size=64k tmpfs /dev/shm", toy_repository)
    assert "/dev/shm has 64 kB of free space, and the models use up to 2 MB" in printed
    assert "Unable to initialize shared memory" in printed
    assert "Enlarge /dev/shm: mount -o remount,size=1g /dev/shm" in printed
    assert "Publish" not in printed


@pytest.mark.parametrize("private", ["toy", "toy/config.pbtxt", "toy/1", "toy/1/model.onnx"])
def test_files_that_this_user_cannot_read_are_named(toy_repository: Path, tmp_path: Path, private: str) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["cp", "-r", toy_repository, repository], check=True)
    check_readable(repository, None)
    (repository / private).chmod(0)
    if not os.geteuid():
        _assert_unreadable_without_capabilities(repository, private)
        return
    with pytest.raises(RepositoryError, match=f"cannot read {repository / private}: it belongs to .* mode 0000"):
        check_readable(repository, None)
    check_readable(repository, ("another",))


def _assert_unreadable_without_capabilities(repository: Path, private: str) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom camserve.serving.server.host_checks import check_readable\n"
        "check_readable(Path(sys.argv[1]), ('another',))\ncheck_readable(Path(sys.argv[1]), None)"
    )
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    result = subprocess.run(
        [*drop, sys.executable, "-c", program, str(repository)], capture_output=True, text=True, check=False
    )
    message = f"this user (root) cannot read {repository / private}: it belongs to root and has the mode 0000"
    assert message in result.stderr
    assert f"chmod -R a+rX {repository}" in result.stderr


@pytest.mark.parametrize(
    ("config", "megabytes"),
    [
        ("", 1),
        ("max_batch_size: 8 instance_group { count: 3 }", 3),
        ("max_batch_size: 8 input { data_type: TYPE_FP32 dims: 224 dims: 224 dims: 3 }", 1 + 10),
        ("max_batch_size: 8 input { data_type: TYPE_UINT8 dims: 224 dims: 224 dims: 3 }", 1 + 3),
        ("max_batch_size: 8 input { data_type: TYPE_FP32 dims: -1 dims: 224 dims: 3 }", 1),
        ("output { data_type: TYPE_FP32 dims: 262144 } instance_group { gpus: 0 gpus: 1 }", 2 * (1 + 2)),
    ],
)
def test_the_need_for_shared_memory_follows_from_the_configuration(config: str, megabytes: int) -> None:
    assert shared_memory_need(text_format.Parse(config, model_config_pb2.ModelConfig())) == megabytes * MEGABYTE


@pytest.mark.parametrize(
    ("log", "code", "hint"),
    [
        ("Failed to increase the shared memory pool size for key", None, "Enlarge /dev/shm"),
        ("", -signal.SIGBUS, "Enlarge /dev/shm"),
        ("[warn] Error from accept() call: Too many open files", 1, "open files: ulimit -n"),
        ("what():  Resource temporarily unavailable", -signal.SIGABRT, "processes, threads and memory: ulimit -u"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", -signal.SIGABRT, "memory: ulimit -v"),
        ("", -signal.SIGKILL, "memory: ulimit -v"),
    ],
)
def test_the_part_of_the_host_that_failed_is_named(log: str, code: int | None, hint: str) -> None:
    assert hint in (host_hint(log, code) or "")


def test_a_failure_of_a_model_is_not_blamed_on_the_host() -> None:
    assert host_hint("failed to load 'toy' version 1: Internal: onnxruntime cannot load model.onnx", 1) is None


def test_low_limits_are_named() -> None:
    program = (
        "import resource\nfrom camserve.serving.server.host_hints import limits_hint\nprint(limits_hint())\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))\nprint(limits_hint())"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    before, after = lines.splitlines()
    assert before == str(limits_hint())
    assert "ulimit -n 99" in after


@pytest.mark.parametrize(
    ("number", "path", "hint"),
    [
        (errno.EMFILE, None, "open files"),
        (errno.EAGAIN, "/bin/tritonserver", "processes, threads and memory"),
        (errno.EACCES, "/dev/shm/camserve-triton-x.lock.new", "mode=1777"),
    ],
)
def test_errors_of_the_system_have_a_hint(number: int, path: str | None, hint: str) -> None:
    error = start_error(OSError(number, os.strerror(number), path))
    assert os.strerror(number) in error.message
    assert hint in (error.hint or "")


def test_sizes_are_printed_in_the_unit_that_suits_them() -> None:
    assert [size_text(size) for size in (0, 65536, 13.5 * 2**20, 3 * 2**30)] == ["0 kB", "64 kB", "13.5 MB", "3 GB"]
