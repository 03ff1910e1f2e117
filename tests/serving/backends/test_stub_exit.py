"""How the stubs end, the processes that run the backends: by themselves, when their version is unloaded."""

import time
from pathlib import Path

import pytest
from support.disposable_server import DisposableServer
from support.process_usage import children

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.server import launch
from camserve.serving.server.environment import TritonInstallation, assemble_backends

pytestmark = pytest.mark.slow

_RECORDING = """#!/bin/sh
"$0.real" "$@"
code=$?
test $# = 0 || echo $code >> {codes}
exit $code
"""
"""A program in place of the stub that runs it and records its exit code; Triton also tries it without arguments."""


def test_a_stub_exits_normally_when_its_version_is_unloaded(
    toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = tmp_path / "codes"

    def assemble_with_recording_stub(installation: TritonInstallation, folder: Path) -> Path:
        assemble_backends(installation, folder)
        stub = folder / "python" / installation.stub.name
        stub.rename(f"{stub}.real")
        stub.write_text(_RECORDING.format(codes=codes))
        stub.chmod(0o700)
        return folder

    monkeypatch.setattr(launch, "assemble_backends", assemble_with_recording_stub)
    publish(toy_bundle, tmp_path / "repository")
    with DisposableServer(tmp_path / "repository", model_control="explicit") as server:
        publish(toy_bundle, tmp_path / "repository", url=server.grpc_url)
        deadline = time.monotonic() + 20
        while not codes.exists() or len(children(server.pid)) != 1:
            assert time.monotonic() < deadline, "the replaced version is not unloaded"
            time.sleep(0.05)
    assert codes.read_text() == "0\n"
