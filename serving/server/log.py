"""What a Triton log says of a failure, in plain words."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["failures", "read_log", "tail"]

_LOAD = re.compile(r"failed to load '(?P<model>[^']+)' version (?P<version>\d+): (?P<reason>.*)\"$", re.MULTILINE)
_SKIP = re.compile(r"failed to load model '(?P<model>[^']+)': (?P<reason>.*)\"$", re.MULTILINE)
_POLL = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.*)\"$", re.MULTILINE)
_START = re.compile(r"^(?:.*?\] \")?(?:error: |Error: )?(?P<reason>failed to start .*?)\"?$", re.MULTILINE)
_STUB_TRACE = re.compile(r"(\\n)+At:.*")
_STATUS = re.compile(r"^(?:Internal|Invalid argument|Unavailable|Not found): (?:TritonModelException: )?")


def failures(log: str) -> tuple[str, ...]:
    """One sentence for each thing that Triton says it could not do, in the order of the log."""
    found = [f"model {m['model']} version {m['version']}: {_plain(m['reason'])}" for m in _LOAD.finditer(log)]
    found += [f"model {m['model']}: {_plain(m['reason'])}" for pattern in (_SKIP, _POLL) for m in pattern.finditer(log)]
    found += [_plain(m["reason"]) for m in _START.finditer(log)]
    return tuple(dict.fromkeys(found))


def read_log(path: Path, *, start: int = 0) -> str:
    """A log file from byte `start` on; empty where there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def tail(path: Path, *, start: int = 0, lines: int = 40) -> str:
    """The last lines of a log file, from byte `start` on, without the wide tables in which Triton repeats itself."""
    told = [line for line in read_log(path, start=start).splitlines() if line and not line.startswith(("|", "+-"))]
    return "\n".join(told[-lines:])


def _plain(reason: str) -> str:
    reason = _STATUS.sub("", _STUB_TRACE.sub("", reason))
    return reason.replace("\\n", " ").replace('\\"', '"').replace("\\'", "'").strip().rstrip(".")
