"""Publishing: a bundle becomes the next version of a model in a repository, wholly or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, ONNX_NAME, REPORT_NAME, Bundle, load_bundle
from camserve.contract import ModelContract
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import write_manifest
from camserve.names import check_model_name
from camserve.serving.config.options import ServingOptions
from camserve.serving.publishing.onnx_check import check_servable
from camserve.serving.publishing.placing import Draft, place
from camserve.serving.publishing.staging import build_staged
from camserve.serving.repository.listing import open_repository

__all__ = ["Publication", "publish"]

_ATTEMPTS = 20


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
    options: ServingOptions | Mapping[str, Any] | None = None,
) -> Publication:
    """Publishes a bundle as the next version of a model.

    The bundle is verified against its manifest, copied aside, loaded once in ONNX Runtime and only then renamed into
    the repository. Versions count up from the highest that stands there. Where it fails, nothing is left behind.

    Args:
        bundle: The bundle or its folder.
        repository: The repository's folder; made if it does not exist.
        name: The model's name in the repository; the bundle's own unless given.
        options: How to serve it; they hold for every version of the model. All of them, or by name only those that
            change, or None: what is not given stays as it stands, and takes its default where the model is new.

    Raises:
        BundleError: If the bundle is incomplete, altered, without ONNX, or its ONNX does not load.
        RepositoryError: If the repository cannot be written, or the model there answers by another contract or
            other labels.
        UsageError: If the name cannot be a model's name, or an option is out of range.
    """
    changes = options if isinstance(options, ServingOptions) else dict(options or {})
    chosen = changes if isinstance(changes, ServingOptions) else ServingOptions(**changes)
    loaded = load_bundle(bundle.path if isinstance(bundle, Bundle) else bundle)
    if loaded.onnx_path is None:
        raise BundleError(f"{loaded.path} has no {ONNX_NAME}", hint="Export it with --formats onnx")
    contract = loaded.contract.model_copy(update={"name": check_model_name(name or loaded.contract.name)})
    with _opened(repository) as root:
        model = root / contract.name
        draft = Draft(model, contract, loaded.labels, chosen, changes)
        return build_staged(root, model, lambda stage: _publish_from(stage, loaded, draft))


@contextmanager
def _opened(repository: str | Path) -> Iterator[Path]:
    path = Path(repository).expanduser().resolve()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield open_repository(path, create=True)
    except BaseException as error:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        if isinstance(error, OSError):
            raise RepositoryError(f"the repository {path} cannot be written: {error}") from error
        raise


def _publish_from(stage: Path, bundle: Bundle, draft: Draft) -> Publication:
    fresh = stage / "model"
    fresh.mkdir()
    shutil.copyfile(bundle.path / LABELS_NAME, fresh / LABELS_NAME)
    version = fresh / "version"
    _write_version(version, bundle, draft.contract)
    check_servable(version / ONNX_NAME, draft.contract)
    # Another publisher may take a number, or found the model, between the look and the rename.
    for _ in range(_ATTEMPTS):
        number = place(fresh, draft)
        if number is not None:
            return Publication(draft.contract.name, number, draft.model / str(number))
    raise RepositoryError(f"{draft.model} is being published to by others without end", hint="Try again later")


def _write_version(folder: Path, bundle: Bundle, contract: ModelContract) -> None:
    folder.mkdir()
    for file_name in (ONNX_NAME, LABELS_NAME, REPORT_NAME):
        shutil.copyfile(bundle.path / file_name, folder / file_name)
    (folder / CONTRACT_NAME).write_text(contract.to_json(indent=2) + "\n", encoding="utf-8")
    written = write_manifest(folder)
    changed = [name for name in (ONNX_NAME, LABELS_NAME, REPORT_NAME) if written[name] != bundle.files[name]]
    if changed:
        raise BundleError(f"{', '.join(changed)} of {bundle.path} changed while it was read", hint="Try again")
