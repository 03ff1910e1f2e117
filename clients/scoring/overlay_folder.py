"""The folder of overlays, which must not be where a run looks for images: the next one would score the overlays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from glob import escape, has_magic
from pathlib import Path

from camserve.atomic import remove_leftovers_below
from camserve.clients.scoring.inputs.braces import expand_braces
from camserve.clients.scoring.inputs.named import local_path
from camserve.clients.scoring.overlay_names import SUFFIX
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["make_overlay_folder"]

_HINT = "Choose a folder that you can write to: --overlays DIR"


def make_overlay_folder(
    folder: str | Path, inputs: Iterable[str | Path] = (), output: str | Path | None = None
) -> None:
    """Create the folder of overlays, and remove what killed runs left there, before any image is scored.

    Args:
        folder: The folder.
        inputs: What is scored. Overlays must not be in one of these folders, and not match a pattern.
        output: The table. Overlays must not be in a data set, which is replaced as a whole.

    Raises:
        UsageError: If the folder cannot be created or is not writable, or an input or the output contains it.
    """
    if output is not None and _is_below(folder, output):
        raise UsageError(
            f"the folder of overlays, {printable(folder)}, is in the output {printable(output)}, which is replaced as "
            "a whole",
            hint="Choose a folder elsewhere: --overlays DIR",
        )
    for given in inputs:
        if any(_contains(name, folder) for name in _names(os.fspath(given))):
            raise UsageError(
                f"the folder of overlays, {printable(folder)}, is in {printable(given)}, which is scored: the next run "
                "would score the overlays, too",
                hint="Choose a folder elsewhere: --overlays DIR",
            )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {printable(folder)} cannot be created: {error.strerror}", hint=_HINT) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {printable(folder)} is not writable", hint=_HINT)
    remove_leftovers_below(Path(folder))


def _names(given: str) -> Iterator[str]:
    """Yield the paths and patterns that an input stands for."""
    if os.path.lexists(given):
        yield given
    else:
        yield from map(local_path, expand_braces(given))


def _contains(name: str, folder: str | Path) -> bool:
    """Return whether overlays in a folder are within a path, or may match a pattern."""
    if os.path.lexists(name) or not has_magic(name):
        return os.path.isdir(name) and _is_below(folder, name)  # noqa: PTH112  (Path.is_dir may raise)
    below = Path(os.path.realpath(folder)).parts
    parts = Path(name).parts
    fixed = next(place for place, part in enumerate(parts) if has_magic(part))
    start = Path(os.path.realpath(Path(*parts[:fixed]))).parts
    # Overlays of images in the working folder, `a/*.png`, keep the folder `a`.
    return _may_match([*map(escape, start), *parts[fixed:]], below) or (
        below == Path.cwd().parts and not Path(name).is_absolute() and _may_match_file(parts[-1])
    )


def _is_below(folder: str | Path, other: str | Path) -> bool:
    """Return whether a folder is another one, or in it."""
    parts = Path(os.path.realpath(other)).parts
    return Path(os.path.realpath(folder)).parts[: len(parts)] == parts


def _may_match(pattern: Sequence[str], folder: Sequence[str]) -> bool:
    """Return whether a pattern matches a folder, one that contains it, or perhaps overlays in it."""
    if not pattern:
        return True
    if not folder:
        return has_magic(pattern[0]) and _may_match_file(pattern[-1])
    if pattern[0] == "**":
        return _may_match(pattern[1:], folder) or _may_match(pattern, folder[1:])
    return fnmatchcase(folder[0], pattern[0]) and _may_match(pattern[1:], folder[1:])


def _may_match_file(pattern: str) -> bool:
    """Return whether a pattern may match the name of an overlay."""
    end = max(pattern.rfind(character) for character in "*?]") + 1
    return pattern[end:].endswith(SUFFIX) or SUFFIX.endswith(pattern[end:])
