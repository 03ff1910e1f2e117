"""A version that stands in the repository goes into service, and is believed only once the server answers with it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

from camserve.errors import ServerError
from camserve.golden import Golden, compare
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.draft import Draft
from camserve.serving.publishing.placing import Placed
from camserve.serving.repository.ledger import read_ledger

__all__ = ["go_live"]

Versions = tuple[int, ...]

_COARSEST = 2e-2
"""A GPU multiplies in TF32, TensorRT in half precision: its figures are other than a CPU's, its answers are not."""


def go_live(server: LiveServer, placed: Placed, draft: Draft, golden: Golden, *, before: Versions) -> None:
    """Loads a version on a server and asks it the golden images; where that fails, all is as before.

    Args:
        server: Where to load it.
        placed: The version; it is undone on failure.
        draft: What it is.
        golden: What it must answer.
        before: The versions of the model that the server had ready before.

    Raises:
        ServerError: If it does not load, does not become ready, or answers otherwise; the message says which, and
            that the version was put back.
    """
    name = draft.model.name
    try:
        server.load(name)
        _check_same(server, name, placed)
        server.wait_ready(name, placed.number)
        _check_answers(server, placed.number, draft, golden)
    except ServerError as error:
        restored = _restore_previous(server, placed.undo, name, before=before)
        raise ServerError(
            f"version {placed.number} of {name} was put back: {error.message}{restored}",
            hint=error.hint or "The server's log says more",
        ) from error
    except BaseException:
        _restore_previous(server, placed.undo, name, before=before)
        raise


def _check_same(server: LiveServer, name: str, placed: Placed) -> None:
    """A server that looks into another folder would load what is there, and may well answer with it."""
    loaded = read_ledger(server.config(name), Path(server.url) / name)
    if loaded.get(placed.number) != placed.manifest:
        raise ServerError(
            f"the server {server.url} loaded another {name} than the one that was published",
            hint="Does it serve this repository, and see its files as they are now?",
        )


def _check_answers(server: LiveServer, number: int, draft: Draft, golden: Golden) -> None:
    answers = server.ask(draft.model.name, number, draft.contract, golden.image(draft.contract))
    faults = compare(golden, draft.contract, answers, tolerance=max(_COARSEST, draft.tolerance))
    if faults:
        raise ServerError(
            f"it does not answer its golden images through {server.url} as it did at its export: {'; '.join(faults)}",
            hint="Look for what differs there: the configuration, the accelerator, the files that the server sees",
        )


def _restore_previous(server: LiveServer, undo: ExitStack, name: str, *, before: Versions) -> str:
    """Puts files and server back, and says what could not be."""
    undo.close()
    trouble = ""
    try:
        if before:
            server.load(name)
        else:
            server.unload(name)
    except ServerError as error:
        trouble = f": {error.message}"
    with suppress(ServerError):
        now = server.served().get(name, ())
        if now == before:  # Triton keeps what it has where it cannot load anew
            return ""
        if now and not trouble:
            trouble = f": of {name} it now has {_listed(now)}, as the repository says, and had {_listed(before)}"
    return f"; and the server did not go back to what it served before{trouble}"


def _listed(versions: Versions) -> str:
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
