"""Publishing: a bundle becomes the next version of a model in a repository, wholly or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, ONNX_NAME, REPORT_NAME, Bundle, load_bundle
from camserve.contract import CONTRACT_PARAMETER, ModelContract
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import write_manifest
from camserve.names import check_model_name
from camserve.serving.config import CONFIG_NAME, build_config, read_config, render_config
from camserve.serving.onnx_check import check_servable
from camserve.serving.options import ServingOptions
from camserve.serving.repository import open_repository
from camserve.serving.staging import build_staged
from camserve.serving.versions import claimed_numbers

__all__ = ["Publication", "publish"]

_ATTEMPTS = 20
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


@dataclass(frozen=True)
class Publication:
    """A published version: the model's name, the version's number and its folder."""

    name: str
    version: int
    path: Path


def publish(
    bundle: Bundle | str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    options: ServingOptions | None = None,
) -> Publication:
    """Publishes a bundle as the next version of a model.

    The bundle is verified against its manifest, copied aside, loaded once in ONNX Runtime and only then renamed into
    the repository. Versions count up from the highest that stands there. Where it fails, nothing is left behind.

    Args:
        bundle: The bundle or its folder.
        repository: The repository's folder; made if it does not exist.
        name: The model's name in the repository; the bundle's own unless given.
        options: How to serve it; they hold for every version of the model.

    Raises:
        BundleError: If the bundle is incomplete, altered, without ONNX, or its ONNX does not load.
        RepositoryError: If the repository cannot be written, or the model there answers by another contract.
        UsageError: If the name cannot be a model's name.
    """
    loaded = load_bundle(bundle.path if isinstance(bundle, Bundle) else bundle)
    if loaded.onnx_path is None:
        raise BundleError(f"{loaded.path} has no {ONNX_NAME}", hint="Export it with --formats onnx")
    contract = loaded.contract.model_copy(update={"name": check_model_name(name or loaded.contract.name)})
    config = render_config(build_config(contract, loaded.labels, options or ServingOptions()))
    rim = {CONFIG_NAME: config, LABELS_NAME: (loaded.path / LABELS_NAME).read_text(encoding="utf-8")}
    with _opened(repository) as root:
        model = root / contract.name
        return build_staged(root, model, lambda stage: _publish_from(stage, model, loaded, contract, rim))


@contextmanager
def _opened(repository: str | Path) -> Iterator[Path]:
    existed = Path(repository).expanduser().exists()
    root = open_repository(repository, create=True)
    try:
        yield root
    except BaseException as error:
        if not existed:
            with suppress(OSError):
                root.rmdir()
        if isinstance(error, OSError):
            raise RepositoryError(f"the repository {root} cannot be written: {error}") from error
        raise


def _publish_from(
    stage: Path, model: Path, bundle: Bundle, contract: ModelContract, rim: Mapping[str, str]
) -> Publication:
    fresh = stage / "model"
    fresh.mkdir()
    for file_name, text in rim.items():
        (fresh / file_name).write_text(text, encoding="utf-8")
    version = fresh / "version"
    _write_version(version, bundle, contract)
    check_servable(version / ONNX_NAME, contract)
    # Another publisher may take a number, or found the model, between the look and the rename.
    for _ in range(_ATTEMPTS):
        number = _place(fresh, model, contract)
        if number is not None:
            return Publication(contract.name, number, model / str(number))
    raise RepositoryError(f"{model} is being published to by others without end", hint="Try again later")


def _write_version(folder: Path, bundle: Bundle, contract: ModelContract) -> None:
    folder.mkdir()
    for file_name in (ONNX_NAME, LABELS_NAME, REPORT_NAME):
        shutil.copyfile(bundle.path / file_name, folder / file_name)
    (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
    written = write_manifest(folder)
    changed = [name for name in (ONNX_NAME, LABELS_NAME, REPORT_NAME) if written[name] != bundle.files[name]]
    if changed:
        raise BundleError(f"{', '.join(changed)} of {bundle.path} changed while it was read", hint="Try again")


def _place(fresh: Path, model: Path, contract: ModelContract) -> int | None:
    """Renames the finished parts into place; None if another publisher was there first."""
    try:
        if (model / CONFIG_NAME).exists():
            _refuse_other_contract(model, contract)
            return _place_version(fresh, model)
        _refuse_foreign(model, fresh)
        return _place_model(fresh, model)
    except OSError as error:
        if error.errno in _TAKEN:
            return None
        raise


def _place_model(fresh: Path, model: Path) -> int:
    (fresh / "version").rename(fresh / "1")
    try:
        if fresh.is_relative_to(model):
            # Staged inside the model's folder; the configuration comes last, and with it the model exists.
            for part in ("1", LABELS_NAME, CONFIG_NAME):
                (fresh / part).rename(model / part)
        else:
            fresh.rename(model)
    except OSError:
        if (fresh / "1").exists():
            (fresh / "1").rename(fresh / "version")
        raise
    return 1


def _place_version(fresh: Path, model: Path) -> int:
    number = max(claimed_numbers(model), default=0) + 1
    target = model / str(number)
    (fresh / "version").rename(target)
    try:
        for file_name in (LABELS_NAME, CONFIG_NAME):
            _replace_if_different(fresh / file_name, model / file_name)
    except OSError:
        target.rename(fresh / "version")
        raise
    return number


def _replace_if_different(new: Path, old: Path) -> None:
    if not old.exists() or new.read_bytes() != old.read_bytes():
        new.replace(old)


def _refuse_other_contract(model: Path, contract: ModelContract) -> None:
    parameters = read_config(model / CONFIG_NAME).parameters
    if CONTRACT_PARAMETER not in parameters:
        raise RepositoryError(
            f"{model} was not published by camserve: its configuration has no contract",
            hint="Publish under another name",
        )
    served = ModelContract.from_json(parameters[CONTRACT_PARAMETER].string_value, origin=str(model / CONFIG_NAME))
    changed = [field for field in ModelContract.model_fields if getattr(served, field) != getattr(contract, field)]
    if changed:
        raise RepositoryError(
            f"{model.name} is served under another contract: {', '.join(changed)} would change under its clients",
            hint="Publish it under another name with --name",
        )


def _refuse_foreign(model: Path, fresh: Path) -> None:
    if model.is_dir() and any(path not in fresh.parents for path in model.iterdir()):
        raise RepositoryError(
            f"{model} exists and is no published model", hint="Move it away, or publish under another name"
        )
    if model.exists() and not model.is_dir():
        raise RepositoryError(f"{model} exists and is not a folder", hint="Move it away, or publish under another name")
