"""A fix of tritonserver 24.10, which crashes when clients cancel requests. The wheel has no newer release.

A deadline that passes is a cancellation as well. When a call ends, gRPC notifies one thread while another may complete
the response, and both use the `InferHandlerState` of the call. `ModelInferHandler` mishandles two orders of events:

- The response completes between the arrival of the notification and `Process`: it is discarded and the state put back
  into the queue, although `Process` then releases the state. The queue returns it a second time, and `Process` locks a
  mutex of its context, which is null: SIGSEGV (server issues 7368 and 8034).
- The notification arrives after the response was sent, at the step FINISH: the state is never released. Neither are its
  request and the version of the model that the request holds, which then cannot be unloaded.

No option of the server prevents this, and a backend takes no part in it. Upstream fixed it in releases after 24.10
(server pull requests 7840 and 8078). Here, the server runs from a copy of the program in which a state is released by
the second of exactly two events, the end of the call and the end of sending the response, for every call:

- `Process` and `InferResponseComplete` take the path of a call that was not cancelled, so nothing is put back.
- `Process` at the step ISSUED, which only the notification reaches: mark the context as CANCELLED, and cancel the
  request, so that the scheduler drops it if it is queued.
- `Process` at the step COMPLETE, after sending: if the context is marked, the state is released.

The new instructions replace those of the path of a cancelled call, which is no longer used. `ModelStreamInfer` has its
own handler and did not crash.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from camserve.serving.server.environment import TritonInstallation

__all__ = ["with_cancellation_fix"]

_log = logging.getLogger("camserve.serving")

_SHA256 = "01f1d4a777fea48f8e62a3df0403bcbd858c7a0be203e032a795032555f3e3f4"
"""Of the program in nvidia-pytriton 0.7.0, tritonserver 2.51.0."""

_OWNER_ONLY = 0o700


@dataclass(frozen=True)
class _Change:
    """A change of the program.

    Attributes:
        offset: Offset of the first byte in the file, which equals its address.
        code: The new x86-64 instructions.
    """

    offset: int
    code: bytes


_CHANGES = (
    # Process: jmp 1f2ef0, where a call continues that was not cancelled (was: je 1f2ef0).
    _Change(0x1F2E6A, bytes.fromhex("90e980000000")),
    # Process, in place of the path of a cancelled call; r12: the state, eax: its step, r13b: the result.
    _Change(
        0x1F2E70,
        bytes.fromhex(
            "83f803"  # cmp eax, ISSUED
            "7545"  # jne 1f2eba: unlock and return
            "498b542410"  # mov rdx, [r12 + context_]
            "c7825001000009000000"  # mov dword [rdx + step_], CANCELLED
            "498b7c2450"  # mov rdi, [r12 + inference_request_]
            "4885ff742c"  # test rdi, rdi; je 1f2eba
            "e85d29ecff"  # call TRITONSERVER_InferenceRequestCancel
            "4885c07422"  # test rax, rax; je 1f2eba
            "4889c7e84013ecff"  # mov rdi, rax; call TRITONSERVER_ErrorDelete
            "eb18"  # jmp 1f2eba
            # 1f2ea2, the end of the step COMPLETE:
            "498b542410"  # mov rdx, [r12 + context_]
            "83ba5001000009"  # cmp dword [rdx + step_], CANCELLED
            "410f95c5"  # setne r13b: whether to wait for the notification
            "eb06"  # jmp 1f2eba
        ),
    ),
    # Process, if the step is not COMPLETE: jne 1f2e70 (was: jne 1f2eba).
    _Change(0x1F2F36, bytes.fromhex("0f8534ffffff")),
    # Process, at the end of the step COMPLETE: jmp 1f2ea2; nop (was: mov r13d, 1, so always wait).
    _Change(0x1F2F6A, bytes.fromhex("e933ffffff90")),
    # InferResponseComplete: jmp 1f3730, where a call continues that was not cancelled (was: je 1f3730).
    _Change(0x1F346F, bytes.fromhex("90e9bb020000")),
)


def with_cancellation_fix(installation: TritonInstallation, folder: Path) -> TritonInstallation:
    """Write the fixed program into a folder and return the installation with it.

    If the program is another build, it is returned unchanged, with a warning.

    Args:
        installation: The Triton installation.
        folder: An existing folder from which programs can be started.

    Raises:
        OSError: If the program cannot be read or written.
    """
    if hashlib.sha256(installation.program.read_bytes()).hexdigest() != _SHA256:
        _log.warning(
            "%s is not the program of nvidia-pytriton 0.7.0, so it runs without the fix for cancelled requests; "
            "without server pull requests 7840 and 8078, Triton can crash when clients cancel or their deadlines pass",
            installation.program,
        )
        return installation
    fixed = folder / installation.program.name
    fixed.touch(_OWNER_ONLY)
    shutil.copyfile(installation.program, fixed)  # in the kernel, which takes half the time of writing 20 MB
    with fixed.open("r+b") as program:
        for change in _CHANGES:
            program.seek(change.offset)
            program.write(change.code)
    return replace(installation, program=fixed)
