"""Activation: loading a new version on a running server, and verifying its answers there."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from camserve.errors import RepositoryError, ServerError
from camserve.golden import compare
from camserve.golden_images import GoldenImages
from camserve.serving.config.cpu import cpu_change, cpu_config
from camserve.serving.config.image_files import file_model_name
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.live.backend_messages import Execution
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.arithmetic import TF32_TOLERANCE, Arithmetic
from camserve.serving.publishing.draft import Draft, GoldenFiles
from camserve.serving.publishing.file_model_activation import activate_file_model, restore_file_model
from camserve.serving.publishing.version_placement import Placement
from camserve.serving.repository.ledger import read_ledger

__all__ = ["activate"]

Versions = tuple[int, ...]

_CHECK_SERVER = "Check the configuration, the accelerator and the files of that server"


def activate(
    server: LiveServer, placement: Placement, draft: Draft, golden: GoldenFiles, *, before: Versions
) -> Execution:
    """Load a version on a server and verify its golden answers. On failure, restore the previous state.

    Args:
        server: The server.
        placement: The version; it is undone on failure.
        draft: What was published.
        golden: The expected answers.
        before: The versions of the model that were ready on the server before.

    Returns:
        What the version runs on, and what the publisher should know about it.

    Raises:
        ServerError: If the version does not load, does not become ready, or gives other answers; the message names
            the reason and that the version was rolled back.
    """
    name = draft.model.name
    files_before = server.served().get(file_model_name(name), ())
    try:
        warnings = _load(server, draft.model)
        config = server.config(name)
        _check_identity(server, name, placement, config)
        server.wait_ready(name, placement.number)
        execution = server.execution(name, placement.number, draft.contract)
        arithmetic = Arithmetic(config, precision=draft.precision, provider=execution.provider)
        _check_answers(server, placement.number, draft, golden, arithmetic)
        activate_file_model(server, draft, placement.number, arithmetic.tolerance(draft.tolerance))
        return replace(execution, warnings=(*execution.warnings, *warnings))
    except ServerError as error:
        restored = _restore_previous(server, placement.undo, draft.model, before=before)
        restore_file_model(server, draft, files_before)
        raise ServerError(
            f"version {placement.number} of {name} was rolled back: {error.message}{restored}",
            hint=error.hint or "See the log of the server",
        ) from None
    except BaseException:
        _restore_previous(server, placement.undo, draft.model, before=before)
        restore_file_model(server, draft, files_before)
        raise


def _load(server: LiveServer, model: Path) -> tuple[str, ...]:
    """Load a model as published, or on a server for the CPU with the configuration for it; return what that changes."""
    path = model / CONFIG_NAME  # missing if the server, of another repository, has a model that this one never had
    published = read_config(path) if path.is_file() else None
    config = None if published is None else cpu_config(published)
    if config is None or not server.is_cpu_server():
        server.load(model.name)
        return ()
    server.load(model.name, config=config)
    return (f"{server.url} was started with --cpu, so it serves {cpu_change(published, config)}",)


def _check_identity(server: LiveServer, name: str, placement: Placement, config: Any) -> None:
    """Detect a server that reads another repository: it would load what is there, perhaps with correct answers."""
    try:
        loaded = read_ledger(config, f"the configuration of {name} on {server.url}")
    except RepositoryError:
        loaded = {}
    if loaded.get(placement.number) != placement.manifest:
        raise ServerError(
            f"the server {server.url} loaded another {name} than the published one",
            hint="Check that it serves this repository and sees its current files",
        )


def _check_answers(server: LiveServer, number: int, draft: Draft, golden: GoldenFiles, arithmetic: Arithmetic) -> None:
    tolerance = arithmetic.tolerance(draft.tolerance)
    answers = server.infer(draft.model.name, number, draft.contract, golden.answers.image(draft.contract))
    faults = compare(golden.answers, draft.contract, answers, tolerance=tolerance)
    if faults:
        as_tf32 = not compare(golden.answers, draft.contract, answers, tolerance=TF32_TOLERANCE)
        raise ServerError(
            f"{server.url} does not reproduce the golden answers of the export: {'; '.join(faults)}",
            hint=arithmetic.hint(as_tf32=as_tf32) or _CHECK_SERVER,
        )
    if golden.images is not None:
        _check_images(server, number, draft, golden.images, tolerance)


def _check_images(server: LiveServer, number: int, draft: Draft, golden: GoldenImages, tolerance: float) -> None:
    answers = server.infer(draft.model.name, number, draft.contract, golden.image(draft.contract))
    faults = golden.faults(answers, tolerance=tolerance)
    if faults:
        raise ServerError(
            f"{server.url} does not give the expected answers to the golden images: {'; '.join(faults)}",
            hint=_CHECK_SERVER,
        )


def _restore_previous(server: LiveServer, undo: ExitStack, model: Path, *, before: Versions) -> str:
    """Restore files and server, and return what could not be restored."""
    undo.close()
    name, problem = model.name, ""
    try:
        if before:
            server.wait_unloaded(name)
            _load(server, model)
        else:
            server.unload(name)
    except ServerError as error:
        problem = f": {error.message}"
    with suppress(ServerError):
        now = server.served().get(name, ())
        if now == before:  # Triton keeps the loaded version if a reload fails
            return ""
        if now and not problem:
            problem = (
                f": it now serves {_versions(now)} of {name}, as in the repository, instead of {_versions(before)}"
            )
    return f"; the server does not serve what it served before{problem}"


def _versions(versions: Versions) -> str:
    if not versions:
        return "no version"
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
