"""The configuration of a model after a publication, from its current one and the draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from camserve.serving.config.named_options import DEFAULTS, changed_options, make_options
from camserve.serving.config.openvino import pinned_precision
from camserve.serving.config.pinning import chosen_versions, pin
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.config.suitability import for_backend
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.export_facts import read_export_facts
from camserve.serving.repository.ledger import PublishedModel, write_ledger
from camserve.serving.repository.version_numbers import version_folders

__all__ = ["Plan", "plan_config"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The configuration of a model after a publication.

    Attributes:
        config: The `ModelConfig` message.
        warnings: Which versions it does not serve any more, although the policy includes them.
    """

    config: Any
    warnings: tuple[str, ...]


def plan_config(draft: Draft, number: int, manifest: str) -> Plan:
    """Build the `ModelConfig` message, with the new version in its ledger and the served versions pinned.

    A model has one configuration, and with it one contract, backend and precision of its arithmetic, for all its
    versions. Older versions that the policy would serve are therefore left out if they do not satisfy the contract of
    the new one, or would be computed in another precision than that of their export.

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
    possible = [each for each in chosen if each == number or _satisfies_contract(draft, each)]
    other = {each: precision for each in possible if each != number and (precision := _other_precision(draft, each))}
    served = [each for each in possible if each not in other]
    if not served or (number not in served and (published is None or draft.contract != published.contract)):
        raise RepositoryError(
            f"the version policy of {draft.model.name} does not serve the new version {number}",
            hint="Serve the newest version with --latest-versions 1",
        )
    pin(config, served)
    write_ledger(config, ledger)
    return Plan(config, tuple(_not_served(draft, each, precision) for each, precision in other.items()))


def _options(draft: Draft) -> ServingOptions:
    if isinstance(draft.changes, ServingOptions):
        return draft.changes
    return make_options(for_backend(draft.backend, DEFAULTS, draft.changes))


def _build(draft: Draft, contract: ModelContract, options: ServingOptions) -> Any:
    digest = draft.source.files.get(MODEL_FILES[draft.backend], "")
    labels = draft.source.labels
    return build_config(contract, labels, options, backend=draft.backend, precision=draft.precision, digest=digest)


def _update(draft: Draft, published: PublishedModel) -> Any:
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(published.config)
    if (published.contract.input, published.contract.outputs) != (draft.contract.input, draft.contract.outputs):
        current = read_options(config)
        options = changed_options(current, for_backend(draft.backend, current, {}))
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


def _other_precision(draft: Draft, number: int) -> str | None:
    """Return the precision of an older version if the new configuration would compute it in another one."""
    precision = (read_export_facts(draft.model / str(number)).precision or "fp32").partition(" ")[0]
    if draft.backend == "openvino":
        return None if pinned_precision(precision) == pinned_precision(draft.precision) else precision
    return precision if precision == "bf16" and draft.backend == "onnxruntime" else None


def _not_served(draft: Draft, number: int, precision: str) -> str:
    return (
        f"version {number} is not served beside the new one: it was exported in {precision}, and a model has one "
        f"precision for all its versions, now that of {draft.precision}. To serve both, publish one under another name "
        "with --name"
    )


def _ledger_from_folders(draft: Draft) -> dict[int, str]:
    """Reconstruct the ledger of a model whose configuration was rewritten by hand from its version folders."""
    folders = version_folders(draft.model)
    return {
        number: file_digest(folder / MANIFEST_NAME)
        for number, folder in folders.items()
        if (folder / MANIFEST_NAME).is_file()
    }
