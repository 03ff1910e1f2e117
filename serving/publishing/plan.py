"""The configuration of a model after a publication, from its current one and the draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, read_labels
from camserve.contract import ModelContract
from camserve.contract_change import contract_breaks
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.regular_file import read_regular_file
from camserve.serving.config.merging import merge_changes
from camserve.serving.config.message import MODEL_FILES, build_config, read_options, update_config
from camserve.serving.config.named_options import make_options
from camserve.serving.config.pinning import chosen_versions, pin
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import PublishedModel, write_ledger
from camserve.serving.repository.version_numbers import version_folders

__all__ = ["plan_config"]


def plan_config(draft: Draft, number: int, manifest: str) -> Any:
    """Build the `ModelConfig` message, with the new version in its ledger and the served versions pinned.

    A model has one configuration, and with it one contract, for all its versions. Older versions that the policy would
    serve are therefore left out if they do not satisfy the contract of the new one.

    Args:
        draft: What is published.
        number: The version number.
        manifest: SHA-256 of the version's manifest.

    Raises:
        RepositoryError: If the policy serves no version, or not the one whose contract the configuration contains.
        UsageError: If a serving option is invalid.
    """
    published = draft.published
    ledger: Mapping[int, str] = {}
    if published is None:
        config = _build(draft, draft.contract, _options(draft))
    else:
        config, ledger = _update(draft, published), published.ledger or _ledger_from_folders(draft)
    ledger = {**ledger, number: manifest}
    chosen = chosen_versions(config.version_policy, ledger)
    served = [each for each in chosen if each == number or _satisfies_contract(draft, each)]
    if not served or (number not in served and (published is None or draft.contract != published.contract)):
        raise RepositoryError(
            f"the version policy of {draft.model.name} does not serve the new version {number}",
            hint="Serve the newest version with --latest-versions 1",
        )
    pin(config, served)
    write_ledger(config, ledger)
    return config


def _options(draft: Draft) -> ServingOptions:
    return draft.changes if isinstance(draft.changes, ServingOptions) else make_options(draft.changes)


def _build(draft: Draft, contract: ModelContract, options: ServingOptions) -> Any:
    digest = draft.source.files.get(MODEL_FILES[draft.backend], "")
    labels = draft.source.labels
    return build_config(contract, labels, options, backend=draft.backend, precision=draft.precision, digest=digest)


def _update(draft: Draft, published: PublishedModel) -> Any:
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(published.config)
    if (published.contract.input, published.contract.outputs) != (draft.contract.input, draft.contract.outputs):
        options = make_options(read_options(config))
        merge_changes(config, _build(draft, published.contract, options), _build(draft, draft.contract, options))
    digest = draft.source.files.get(MODEL_FILES[draft.backend], "")
    return update_config(
        config,
        draft.contract,
        draft.source.labels,
        draft.changes,
        backend=draft.backend,
        precision=draft.precision,
        digest=digest,
    )


def _satisfies_contract(draft: Draft, number: int) -> bool:
    """Check whether an older version satisfies the contract of the new one."""
    folder = draft.model / str(number)
    try:
        contract = ModelContract.from_json(read_regular_file(folder / CONTRACT_NAME))
        labels = read_labels(folder / LABELS_NAME)
    except (OSError, BundleError):
        return False
    breaks = contract_breaks(draft.contract, contract, known_labels=draft.source.labels, new_labels=labels)
    return not breaks and (folder / MODEL_FILES[draft.backend]).exists()


def _ledger_from_folders(draft: Draft) -> dict[int, str]:
    """Reconstruct the ledger of a model whose configuration was rewritten by hand from its version folders."""
    folders = version_folders(draft.model)
    return {
        number: file_digest(folder / MANIFEST_NAME)
        for number, folder in folders.items()
        if (folder / MANIFEST_NAME).is_file()
    }
