"""The models that a Triton in explicit mode has loaded, according to its log.

The log can be read after a crash, up to the last line, and also if only clients with a certificate can connect.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["loaded_models", "read_loaded_models"]

_EVENT = re.compile(
    r"""model_lifecycle\.cc:\d+\]\ "(?:
        loading:\ (?P<loading>.+):(?P<loading_version>\d+)
      | successfully\ loaded\ '(?P<loaded>.+)'
      | successfully\ unloaded\ '(?P<unloaded>.+)'\ version\ (?P<unloaded_version>\d+)
      | failed\ to\ load\ '(?P<refused>[^']+)'\ version\ (?P<refused_version>\d+):.*
      | failed\ to\ load\ '(?P<failed>[^']+)'
    )"$""",
    re.VERBOSE,
)

_WORDS = (b"model_lifecycle.cc", b"in-flight requests")
_SHUTDOWN = "Waiting for in-flight requests to complete"
"""From here on, Triton unloads every model."""

Versions = tuple[int, ...]


def loaded_models(log: Iterable[str]) -> dict[str, Versions]:
    """Return the versions that were loaded at the end of a log, lowest first, by model.

    Args:
        log: The lines of the log of one run.
    """
    served: dict[str, set[int]] = {}
    loading: defaultdict[str, set[int]] = defaultdict(set)
    instances: Counter[tuple[str, int]] = Counter()  # a version that is loaded again has two for a moment
    for line in log:
        event = _EVENT.search(line)
        if event is None:
            if _SHUTDOWN in line:
                break
            continue
        model, version = _subject(event.groupdict())
        if event["loading"]:
            loading[model].add(version)
            instances[model, version] += 1
        elif event["loaded"]:
            served[model] = loading.pop(model, set())
        elif event["failed"]:  # what was loaded before remains
            loading.pop(model, None)
        else:
            instances[model, version] -= 1
    return {
        model: tuple(versions)
        for model in sorted(served)
        if (versions := sorted(number for number in served[model] if instances[model, number] > 0))
    }


def read_loaded_models(log: Path, *, start: int = 0) -> dict[str, Versions]:
    """Return the versions that were loaded at the end of a log file, which is read from byte `start` on."""
    try:
        with log.open("rb") as stream:
            stream.seek(start)
            return loaded_models(
                line.decode(errors="replace").rstrip() for line in stream if any(word in line for word in _WORDS)
            )
    except OSError:
        return {}


def _subject(event: Mapping[str, str | None]) -> tuple[str, int]:
    model = next(event[name] for name in ("loading", "loaded", "unloaded", "refused", "failed") if event[name])
    versions = (event[f"{name}_version"] for name in ("loading", "unloaded", "refused"))
    return str(model), int(next((version for version in versions if version), 0))
