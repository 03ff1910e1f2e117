"""Failures and warnings in a Triton log, as sentences."""

from __future__ import annotations

import re
from pathlib import Path

from camserve.serving.live.backend_messages import split_hint

__all__ = ["backend_warning", "failures", "hints", "read_log", "tail"]

_LOAD = re.compile(r"failed to load '(?P<model>[^']+)' version (?P<version>\d+): (?P<reason>.*)\"$", re.MULTILINE)
_SKIP = re.compile(r"failed to load model '(?P<model>[^']+)': (?P<reason>.*)\"$", re.MULTILINE)
_POLL = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.*)\"$", re.MULTILINE)
_START = re.compile(r"^(?:.*?\] \")?(?:error: |Error: )?(?P<reason>failed to start .*?)\"?$", re.MULTILINE)
# The prefix is as in camserve.serving.backends.camserve_backend.instance, which cannot import it.
_WARNING = re.compile(r"(?:W|\S+ W )\S* .*?\] \"camserve: (?P<warning>.*)\"$")
_STUB_TRACEBACK = re.compile(r"(\\n)+At:.*")
_STATUS = re.compile(r"^(?:Internal|Invalid argument|Unavailable|Not found): (?:TritonModelException: )?")


def failures(log: str) -> tuple[str, ...]:
    """Return one sentence for each failure in a log, without duplicates and hints."""
    return tuple(dict.fromkeys(split_hint(failure)[0] for failure in _failures(log)))


def hints(log: str) -> tuple[str, ...]:
    """Return the hints of camserve's backends for the failures in a log, without duplicates."""
    found = (split_hint(failure)[1] for failure in _failures(log))
    return tuple(dict.fromkeys(hint for hint in found if hint is not None))


def backend_warning(line: str) -> str | None:
    """Return the warning of a camserve backend in a line of a log, such as `model toy: ...`; None if it has none."""
    found = _WARNING.match(line)
    return _clean(found["warning"]) if found else None


def read_log(path: Path, *, start: int = 0) -> str:
    """Read a log file from byte `start` on; the result is empty if the file does not exist."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def tail(path: Path, *, start: int = 0, lines: int = 40) -> str:
    """Return the last lines of a log file, from byte `start` on, without Triton's wide summary tables."""
    kept = [line for line in read_log(path, start=start).splitlines() if line and not line.startswith(("|", "+-"))]
    return "\n".join(kept[-lines:])


def _failures(log: str) -> list[str]:
    found = [f"model {m['model']} version {m['version']}: {_clean(m['reason'])}" for m in _LOAD.finditer(log)]
    found += [f"model {m['model']}: {_clean(m['reason'])}" for pattern in (_SKIP, _POLL) for m in pattern.finditer(log)]
    return found + [_clean(m["reason"]) for m in _START.finditer(log)]


def _clean(reason: str) -> str:
    """Remove status words, escapes and the traceback of the Python stub."""
    reason = _STATUS.sub("", _STUB_TRACEBACK.sub("", reason))
    return reason.replace("\\n", " ").replace('\\"', '"').replace("\\'", "'").strip().rstrip(".")
