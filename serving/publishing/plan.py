"""The configuration that a model shall have: from the one that stands and what is to be published."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, read_labels
from camserve.contract import ModelContract
from camserve.contract_change import contract_breaks
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.serving.config.merging import merge_changes
from camserve.serving.config.message import MODEL_FILES, build_config, read_options, update_config
from camserve.serving.config.named_options import make_options
from camserve.serving.config.pinning import chosen_versions, pin
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import PublishedModel, write_ledger
from camserve.serving.repository.version_numbers import version_folders

__all__ = ["plan_config"]


def plan_config(draft: Draft, standing: PublishedModel | None, number: int, manifest: str) -> Any:
    """The message, with the new version in its ledger and the versions that it serves named.

    Older versions that the policy would keep in service are left out where they could not do what the new one
    promises: one configuration, and with it one contract, holds for all.

    Args:
        draft: What is to be published.
        standing: The model so far; None for a new one.
        number: The version's number.
        manifest: SHA-256 of its manifest.

    Raises:
        RepositoryError: If the policy serves nothing, or not the version whose contract is promised.
        UsageError: If an option makes no sense.
    """
    if standing is None:
        config, ledger = _built(draft, draft.contract, _options(draft)), {}
    else:
        config, ledger = _updated(draft, standing), standing.ledger or _found(draft)
    ledger = {**ledger, number: manifest}
    chosen = chosen_versions(config.version_policy, ledger)
    served = [each for each in chosen if each == number or _keeps_promise(draft, each)]
    if not served or (number not in served and (standing is None or draft.contract != standing.contract)):
        raise RepositoryError(
            f"the version policy of {draft.model.name} does not serve the new version {number}",
            hint="Publish it with the policy that serves the latest",
        )
    pin(config, served)
    write_ledger(config, ledger)
    return config


def _options(draft: Draft) -> ServingOptions:
    return draft.changes if isinstance(draft.changes, ServingOptions) else make_options(draft.changes)


def _built(draft: Draft, contract: ModelContract, options: ServingOptions) -> Any:
    digest = draft.source.files.get(MODEL_FILES[draft.backend], "")
    labels = draft.source.labels
    return build_config(contract, labels, options, backend=draft.backend, precision=draft.precision, digest=digest)


def _updated(draft: Draft, standing: PublishedModel) -> Any:
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(standing.config)
    if (standing.contract.input, standing.contract.outputs) != (draft.contract.input, draft.contract.outputs):
        options = make_options(read_options(config))
        merge_changes(config, _built(draft, standing.contract, options), _built(draft, draft.contract, options))
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


def _keeps_promise(draft: Draft, number: int) -> bool:
    """Whether an older version answers as the new one's contract says."""
    folder = draft.model / str(number)
    try:
        contract = ModelContract.from_json((folder / CONTRACT_NAME).read_bytes())
        labels = read_labels(folder / LABELS_NAME)
    except (OSError, BundleError):
        return False
    kept = contract_breaks(draft.contract, contract, known_labels=draft.source.labels, new_labels=labels)
    return not kept and (folder / MODEL_FILES[draft.backend]).exists()


def _found(draft: Draft) -> dict[int, str]:
    """The ledger of a model whose configuration was written anew by hand: what stands there."""
    folders = version_folders(draft.model)
    return {
        number: file_digest(folder / MANIFEST_NAME)
        for number, folder in folders.items()
        if (folder / MANIFEST_NAME).is_file()
    }
