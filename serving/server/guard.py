"""The guard process: it starts the server, passes on its exit code, and ends it if the program that started it dies.

It runs as a separate program that uses only the standard library: `guard.py PARENT REPORT SCRATCH PROGRAM ARGUMENT...`.
If the guard itself dies, the kernel ends the server (PR_SET_PDEATHSIG). The program that uses `TritonServer` could not
request that: the kernel sends the signal when the thread that started the server ends, and the guard has only one.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["SHARED_MEMORY", "remove_folder", "remove_scratch", "remove_segments"]

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where shm_open looks
"""Directory of the names of segments."""

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317
_SET_MODE_FILTER = 1
_ALLOW_SPECULATION = 4
"""Without this flag, kernels before 5.16 slow a filtered program down."""

_X86_64 = 0xC000003E
_SYS_FCHMOD = 91
_OTHERS = 0o077
_ALLOW = 0x7FFF0000
_RETURN_ZERO = 0x00050000
_KEEP_PRIVATE = (  # BPF instructions: code, jump if true, jump if false, value
    (0x20, 0, 0, 4),  # load the architecture
    (0x15, 0, 5, _X86_64),
    (0x20, 0, 0, 0),  # load the number of the system call
    (0x15, 0, 3, _SYS_FCHMOD),
    (0x20, 0, 0, 24),  # load its second argument, the mode
    (0x45, 0, 1, _OTHERS),
    (0x06, 0, 0, _RETURN_ZERO),
    (0x06, 0, 0, _ALLOW),
)
"""A seccomp filter that skips `fchmod` with a mode for group or others. Boost calls it after `shm_open`."""


def remove_scratch(scratch: Path) -> None:
    """Remove the scratch folder of a server and its segments."""
    remove_folder(scratch)
    remove_segments(scratch.name)


def remove_folder(scratch: Path) -> None:
    """Remove the scratch folder of a server."""
    shutil.rmtree(scratch, ignore_errors=True)


def remove_segments(prefix: str) -> None:
    """Remove the names of shared memory that start with the name of a scratch folder."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        with suppress(OSError):
            region.unlink()


def main(parent: int, report: int, scratch: Path, command: Sequence[str]) -> None:
    """Start the server and wait until it ends, SIGTERM arrives, which is passed on, or the parent process ends.

    Args:
        parent: Process ID of the program that started this one.
        report: Descriptor that receives a line of three numbers: the server's process ID or 0, an error number or 0,
            and 1 if no other user can read the server's shared memory.
        scratch: Folder to remove if the parent process ended.
        command: The server's program and arguments.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a program that ignores it passes that on
    server = _start(command, report)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    while server.poll() is None:
        if os.getppid() != parent:
            _end(server, scratch)
        received = signal.sigtimedwait(_SIGNALS, _POLL_SECONDS)
        if received is not None and received.si_signo == signal.SIGTERM:
            server.terminate()
    _exit_as(server.returncode)


def _start(command: Sequence[str], report: int) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    library = ctypes.CDLL(None)
    private = _keep_private(library)

    def end_with_the_guard() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    try:
        server = subprocess.Popen(command, preexec_fn=end_with_the_guard)  # noqa: PLW1509 - there are no threads
    except OSError as error:
        os.write(report, f"0 {error.errno} 0\n".encode())
        sys.exit(1)
    os.write(report, f"{server.pid} 0 {private:d}\n".encode())
    os.close(report)
    return server


def _keep_private(library: ctypes.CDLL) -> bool:
    """Let no other user read what the server creates, such as shared memory with the tensors of requests.

    Returns:
        Whether that succeeded.
    """
    os.umask(_OTHERS)
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _KEEP_PRIVATE))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(_KEEP_PRIVATE), ctypes.addressof(filters)))
    library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return not library.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, _ALLOW_SPECULATION, program)


def _end(server: subprocess.Popen[bytes], scratch: Path) -> None:
    """End the process group of the server, which is also that of this program, and remove its scratch folder."""
    server.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        signal.sigtimedwait(_SIGNALS, _POLL_SECONDS)
    server.kill()
    server.wait()
    remove_scratch(scratch)
    os.killpg(0, signal.SIGKILL)


def _exit_as(code: int) -> None:
    """End this program as the server ended: with the same exit code, or by the same signal."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # there is no other action for SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    sys.exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
