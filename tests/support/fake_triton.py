"""A program in place of tritonserver that crashes at its first starts and then reports that it is ready."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from camserve.serving.server import triton
from camserve.serving.server.environment import find_triton

__all__ = ["LOCK_CRASH", "OTHER_CRASH", "install_fake_triton"]

LOCK_CRASH = "terminate called after throwing an instance of 'boost::interprocess::lock_exception'"
OTHER_CRASH = "terminate called after throwing an instance of 'std::bad_alloc'"

_PROGRAM = """#!{python}
import http.server, os, pathlib, re, socket, sys

starts = pathlib.Path({starts!r})
starts.write_text(starts.read_text() + "x")
if len(starts.read_text()) <= {crashes}:
    print({message!r}, flush=True)
    print("Signal (6) received.\\n" * 60, flush=True)  # a stack trace, longer than the reported end of the log
    os.abort()


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()


ports = dict(re.findall(r"--(http|grpc|metrics)-port=([0-9]+)", " ".join(sys.argv)))
listeners = [socket.create_server(("127.0.0.1", int(ports[name]))) for name in ("grpc", "metrics")]
http.server.HTTPServer(("127.0.0.1", int(ports["http"])), Ready).serve_forever()
"""


def install_fake_triton(monkeypatch: pytest.MonkeyPatch, folder: Path, *, crashes: int, message: str) -> Path:
    """Make `TritonServer` run the fake program.

    Args:
        monkeypatch: Restores the real program.
        folder: Folder for the program.
        crashes: Number of starts that crash.
        message: What it prints before it crashes.

    Returns:
        A file with one character for each start.
    """
    starts = folder / "starts"
    starts.touch()
    program = folder / "tritonserver"
    program.write_text(
        _PROGRAM.format(python=sys.executable, starts=str(starts), crashes=crashes, message=message), encoding="utf-8"
    )
    program.chmod(0o755)
    installation = replace(find_triton(), program=program)
    monkeypatch.setattr(triton, "find_triton", lambda: installation)
    return starts
