"""Start, supervision and end of the embedded server."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.disposable_server import DisposableServer

from camserve.bundle import Bundle
from camserve.errors import RepositoryError, ServerError
from camserve.serving import ServingOptions, TritonServer, publish
from camserve.serving.server.process import ServerProcess
from camserve.serving.server.scratch import create_scratch

pytestmark = pytest.mark.slow


def _group(leader: int) -> list[int]:
    """Return the processes in the group of a server, which its guard leads."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the files of the servers of one test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _shared_memory(scratch: Path) -> list[Path]:
    """Return the segments of the servers of one test, without their locks."""
    regions = [region for folder in scratch.iterdir() for region in Path("/dev/shm").glob(f"{folder.name}*")]
    return [region for region in regions if region.suffix != ".lock"]


def test_a_running_server_answers_on_its_addresses(toy_server: TritonServer) -> None:
    with urllib.request.urlopen(f"http://{toy_server.http_url}/v2/models/toy/ready", timeout=10) as response:
        assert response.status == 200
    with urllib.request.urlopen(toy_server.metrics_url, timeout=10) as response:
        assert b"nv_inference_count" in response.read()
    assert toy_server.grpc_url.startswith("127.0.0.1:")
    assert "Started GRPCInferenceService" in toy_server.log_tail


def test_nothing_remains_after_the_context(toy_repository: Path, scratch: Path) -> None:
    server = TritonServer(toy_repository)
    with pytest.raises(InterruptedError), server:  # noqa: PT012 - the assertions need the running server
        group = os.getpgid(server.pid)
        assert len(_group(group)) == 3  # the guard, the server and the stub of the model
        shared = _shared_memory(scratch)
        assert len(shared) == 1
        raise InterruptedError
    assert _group(group) == []
    assert list(scratch.iterdir()) == []
    assert not shared[0].exists()
    assert "unloaded 'toy'" in server.log_tail
    with pytest.raises(ServerError, match="not running"):
        _ = server.grpc_url


def test_the_server_ends_if_its_parent_is_killed(toy_repository: Path, scratch: Path) -> None:
    program = (
        "import sys, time\nfrom camserve.serving import TritonServer\n"
        "server = TritonServer(sys.argv[1])\nserver.start()\nprint(server.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(toy_repository)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        group = os.getpgid(int(parent.stdout.readline()))
        assert group != os.getpgid(0)
        (shared,) = _shared_memory(scratch)
        parent.kill()
    deadline = time.monotonic() + 60
    while (_group(group) or any(scratch.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _group(group) == []
    assert list(scratch.iterdir()) == []
    assert not shared.exists()


def test_the_exit_code_of_a_dead_server_is_returned(toy_repository: Path, scratch: Path) -> None:
    server = TritonServer(toy_repository)
    server.start()
    group = os.getpgid(server.pid)
    (shared,) = _shared_memory(scratch)
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    server.stop()
    assert _group(group) == []
    assert not shared.exists()
    assert list(scratch.iterdir()) == []


def test_a_port_in_use_is_reported_before_the_start(toy_repository: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServerError, match=rf"HTTP port {port} on 127.0.0.1 is already in use.*--http-port"):
            TritonServer(toy_repository, http_port=port).start()


def test_an_empty_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(RepositoryError, match=r"contains no models.*camserve publish"):
        TritonServer(tmp_path).start()


def test_a_model_that_does_not_load_is_reported(toy_bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    publication = publish(toy_bundle, tmp_path / "repository")
    (publication.path / "model.onnx").write_bytes(b"no graph")
    server = TritonServer(tmp_path / "repository", log=tmp_path / "log")
    with pytest.raises(ServerError, match=r"model toy version 1: onnxruntime cannot load model\.onnx"):
        server.start()
    assert "failed to load 'toy'" in server.log_tail
    assert "failed to load 'toy'" in (tmp_path / "log").read_text(encoding="utf-8")
    assert list(scratch.iterdir()) == []


def test_the_hint_of_a_refusal_names_the_cpu_only_without_a_gpu(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"accelerator": "none", "batch_sizes": (1, 8)})
    path = tmp_path / "toy" / "config.pbtxt"
    path.write_text(path.read_text(encoding="utf-8").replace('"1,8"', '"1,4"'), encoding="utf-8")
    with pytest.raises(ServerError, match=r"the largest of batch_sizes must be max_batch_size, 8, got 1,4") as caught:
        TritonServer(tmp_path).start()
    assert caught.value.hint == "Publish the model again with --set batch_sizes=1,8"


def test_a_start_that_takes_too_long_fails(toy_repository: Path, scratch: Path) -> None:
    with pytest.raises(ServerError, match=r"not ready within 0\.05 s"):
        TritonServer(toy_repository, start_timeout=0.05).start()
    assert list(scratch.iterdir()) == []


def test_the_highest_version_is_served(toy_bundle: Bundle, tmp_path: Path) -> None:
    for _ in range(2):
        publish(toy_bundle, tmp_path)
    with DisposableServer(tmp_path) as server:
        for version, status in ((2, 200), (1, 400)):
            url = f"http://{server.http_url}/v2/models/toy/versions/{version}/ready"
            try:
                with urllib.request.urlopen(url, timeout=10) as response:
                    assert response.status == status
            except urllib.error.HTTPError as error:
                assert error.code == status  # noqa: PT017 - either outcome is asserted


def test_served_versions_come_from_the_server(toy_bundle: Bundle, tmp_path: Path) -> None:
    options = ServingOptions(latest_versions=2)
    for name in ("one", "two", "two", "two"):
        publish(toy_bundle, tmp_path, name=name, options=options)
    server = DisposableServer(tmp_path)
    with pytest.raises(ServerError, match="not running"):
        server.served()
    with server:
        publish(toy_bundle, tmp_path, name="one")
        assert server.served() == {"one": (1,), "two": (2, 3)}


@pytest.mark.parametrize("end", ["stop", "wait"])
def test_a_program_that_ignores_sigchld_ends_the_server(toy_repository: Path, scratch: Path, end: str) -> None:
    program = (
        "import os, signal, sys\nfrom camserve.serving import TritonServer\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nserver = TritonServer(sys.argv[1])\nserver.start()\n"
        "print(os.getpgid(server.pid), flush=True)\n"
        "if sys.argv[2] == 'wait':\n    os.kill(server.pid, signal.SIGKILL)\n    server.wait()\nserver.stop()\n"
    )
    command = [sys.executable, "-c", program, str(toy_repository), end]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stderr
    assert _group(int(result.stdout)) == []
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("scratch")
def test_a_program_that_cannot_start_is_reported(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch()
    created = create_scratch()
    with pytest.raises(PermissionError, match=str(program)):
        ServerProcess([str(program)], os.environ, tmp_path / "log", created)
    created.remove()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_if_its_guard_is_killed(toy_repository: Path, scratch: Path, number: int) -> None:
    server = TritonServer(toy_repository)
    server.start()
    group = os.getpgid(server.pid)
    os.kill(group, number)
    assert server.wait() == (-number if number == signal.SIGKILL else 0)
    assert _group(group) == []
    assert list(scratch.iterdir()) == []


def test_no_other_user_can_read_what_the_server_writes(toy_repository: Path, scratch: Path, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with DisposableServer(toy_repository, log=tmp_path / "log"):
            shared = _shared_memory(scratch)
            assert [oct(path.stat().st_mode & 0o777) for path in shared] == ["0o600"]
            assert [oct(path.stat().st_mode & 0o777) for path in scratch.iterdir()] == ["0o700"]
            assert oct((tmp_path / "log").stat().st_mode & 0o777) == "0o600"
    finally:
        os.umask(mask)


@pytest.mark.usefixtures("scratch")
def test_an_existing_log_keeps_its_mode(tmp_path: Path) -> None:
    created = create_scratch()
    log = tmp_path / "log"
    log.write_text("before\n")
    log.chmod(0o640)
    assert ServerProcess(["echo", "after"], os.environ, log, created).wait() == 0
    created.remove()
    assert log.read_text() == f"before\n{created.name}: starting echo\nafter\n"
    assert oct(log.stat().st_mode & 0o777) == "0o640"


def test_the_host_can_be_a_name(toy_repository: Path) -> None:
    with DisposableServer(toy_repository, host="localhost") as server:
        assert server.http_url.startswith("127.0.0.1:")
