"""Known versions of a model, and checks that a reply may be decoded after a hot swap.

A server may replace the version of a model at any time. A query is made for one version; the reply names the version
that computed it. A reply is decoded only if the contract of its version is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from camserve.clients.answers.served_model import Model
from camserve.contract import ModelContract
from camserve.contract_change import contract_breaks
from camserve.errors import ContractError
from camserve.text import shortened

__all__ = ["TRUSTED_SECONDS", "KnownVersions", "check_prepared", "check_same"]

TRUSTED_SECONDS = 30.0
"""A version is read again after this time: another server, with other versions, may have the same address by then."""

_Place = tuple[str, str]


@dataclass(frozen=True)
class KnownVersions:
    """The versions of a model that were read so far. Immutable: every change returns a new value.

    Attributes:
        current: The model that queries are made for.
        read: The model by address and version, and when it was read (monotonic seconds).
    """

    current: Model
    read: Mapping[_Place, tuple[Model, float]] = field(default_factory=dict)

    def model_at(self, url: str, version: str, now: float) -> Model | None:
        """Return the model of a version at a server, or None if it must be read first."""
        model, when = self.read.get((url, version), (None, 0.0))
        return model if now - when < TRUSTED_SECONDS else None

    def deduplicated(self, model: Model) -> Model:
        """Return the known model that equals this one, so that only one instance is kept, or else this one."""
        known = (self.current, *(each for each, _ in self.read.values()))
        return next((each for each in known if vars(each) == vars(model)), model)

    def with_version(self, url: str, model: Model, now: float) -> KnownVersions:
        """Add a model that was read now, and remove those that were read too long ago."""
        fresh = {place: entry for place, entry in self.read.items() if now - entry[1] < TRUSTED_SECONDS}
        return replace(self, read={**fresh, (url, model.version): (model, now)})

    def with_current(self, model: Model) -> KnownVersions:
        """Make queries for this model from now on."""
        return self if model is self.current else replace(self, current=model)

    def with_newer(self, model: Model) -> KnownVersions:
        """Make queries for this model from now on if its version is higher."""
        return self.with_current(model) if _number(model.version) > _number(self.current.version) else self

    def without(self, url: str, version: str) -> KnownVersions:
        """Remove a version."""
        return replace(self, read={place: entry for place, entry in self.read.items() if place != (url, version)})


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def check_same(queried: Model, replying: Model, outputs: Sequence[str], url: str = "") -> None:
    """Check that a reply may be decoded as the reply of the queried model.

    Two versions may differ if everything the query depends on is equal: the preprocessing, the classes and their
    labels, and the requested outputs.

    Args:
        queried: The model that the query was made for.
        replying: The model that replied, or would reply.
        outputs: The requested outputs.
        url: The server.

    Raises:
        ContractError: If one of these differs.
    """
    breaks = () if queried is replying else _breaks(queried, replying, tuple(outputs))
    if breaks:
        raise ContractError(
            f"model {queried.name!r}{url and f' at {url}'} was replaced during the request: version "
            f"{replying.version} has another contract than version {queried.version} ({shortened('; '.join(breaks))})",
            hint="Send the request again; the next call uses the new contract",
        )


def check_prepared(contract: ModelContract, model: Model, outputs: Sequence[str]) -> None:
    """Check that a model can be queried with a batch that was prepared for a contract, which has no labels.

    Args:
        contract: The contract that the batch was prepared for.
        model: The model to query.
        outputs: The requested outputs.

    Raises:
        ContractError: If the model has another preprocessing, other classes, or another of these outputs.
    """
    breaks = contract_breaks(_reduced(contract, outputs), model.contract, known_labels=None, new_labels=())
    if breaks:
        raise ContractError(
            f"the batch was prepared for an earlier contract of model {model.name!r}: version {model.version} has "
            f"another one ({shortened('; '.join(breaks))})",
            hint="Preprocess the images again for the new contract",
        )


@lru_cache(maxsize=16)  # by identity, so that a thousand labels are not compared for every image
def _breaks(queried: Model, replying: Model, outputs: tuple[str, ...]) -> Sequence[str]:
    return contract_breaks(
        _reduced(queried.contract, outputs),
        replying.contract,
        known_labels=[label.line for label in queried.labels],
        new_labels=[label.line for label in replying.labels],
    )


def _reduced(contract: ModelContract, outputs: Sequence[str]) -> ModelContract:
    """Return the part of the contract that a query for these outputs depends on."""
    return contract.model_copy(update={"outputs": tuple(each for each in contract.outputs if each.name in outputs)})
