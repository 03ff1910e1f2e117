"""Hot swaps: which model answers under which version, and whether an answer is of the model that was asked.

A server may swap the version of a model at any time. The question was made for one version; the answer names the one
that gave it. Nothing is read from an answer of a version whose contract was not read first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from camserve.clients.answers.served_model import Model
from camserve.contract import ModelContract
from camserve.contract_change import contract_breaks
from camserve.errors import ContractError

__all__ = ["TRUSTED_SECONDS", "KnownVersions", "check_prepared", "check_same"]

TRUSTED_SECONDS = 30.0
"""For how long a version counts as read. Another server may have taken over an address, and count its versions anew."""

_Place = tuple[str, str]


@dataclass(frozen=True)
class KnownVersions:
    """What was read of a model so far. A value: whoever learns more makes a new one.

    Attributes:
        current: The model that questions are made for.
        read: By address and version, the model that was read there, and when.
    """

    current: Model
    read: Mapping[_Place, tuple[Model, float]] = field(default_factory=dict)

    def model_at(self, url: str, version: str, now: float) -> Model | None:
        """The model of that version at that server; None if it must be read first."""
        model, when = self.read.get((url, version), (None, 0.0))
        return model if now - when < TRUSTED_SECONDS else None

    def deduplicated(self, model: Model) -> Model:
        """The model that is known already and like this one in everything, so that no second one is kept; else this."""
        known = (self.current, *(each for each, _ in self.read.values()))
        return next((each for each in known if vars(each) == vars(model)), model)

    def with_version(self, url: str, model: Model, now: float) -> KnownVersions:
        """The same and, as of now, this model; what is too old to be trusted is dropped."""
        fresh = {place: entry for place, entry in self.read.items() if now - entry[1] < TRUSTED_SECONDS}
        return replace(self, read={**fresh, (url, model.version): (model, now)})

    def with_current(self, model: Model) -> KnownVersions:
        """The same, but questions are made for this model."""
        return self if model is self.current else replace(self, current=model)

    def with_newer(self, model: Model) -> KnownVersions:
        """The same, but questions are made for this model if it is a newer version."""
        return self.with_current(model) if _number(model.version) > _number(self.current.version) else self

    def without(self, url: str, version: str) -> KnownVersions:
        """The same without that version."""
        return replace(self, read={place: entry for place, entry in self.read.items() if place != (url, version)})


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def check_same(asked: Model, answering: Model, outputs: Sequence[str], url: str = "") -> None:
    """Refuses to read the answer of one model as that of another.

    Two versions may follow one another unnoticed when all that the question rests on stayed: the preparation of
    images, the classes with their labels, and the outputs asked for.

    Args:
        asked: The model that the question was made for.
        answering: The one that answered, or would.
        outputs: What was asked for.
        url: The server.

    Raises:
        ContractError: If not all of that stayed.
    """
    breaks = () if asked is answering else _breaks(asked, answering, tuple(outputs))
    if breaks:
        raise ContractError(
            f"model {asked.name!r}{url and f' at {url}'} changed while it was asked: the question was made for version "
            f"{asked.version}, and version {answering.version} has another contract ({'; '.join(breaks)})",
            hint="Ask again: the next call follows the new contract",
        )


def check_prepared(contract: ModelContract, model: Model, outputs: Sequence[str]) -> None:
    """Refuses to ask a model about a batch that was prepared for another.

    Args:
        contract: What the batch was prepared for. It says nothing of the labels.
        model: The model to ask.
        outputs: What it is asked for.

    Raises:
        ContractError: If the preparation of images, the classes or one of these outputs is not the model's.
    """
    breaks = contract_breaks(_asking_for(contract, outputs), model.contract, known_labels=None, new_labels=())
    if breaks:
        raise ContractError(
            f"the batch was prepared for a contract that model {model.name!r} no longer has: version {model.version} "
            f"has another ({'; '.join(breaks)})",
            hint="Prepare the images again, for the new contract",
        )


@lru_cache(maxsize=16)  # by identity: a thousand labels are not compared again for every image
def _breaks(asked: Model, answering: Model, outputs: tuple[str, ...]) -> Sequence[str]:
    return contract_breaks(
        _asking_for(asked.contract, outputs),
        answering.contract,
        known_labels=[label.line for label in asked.labels],
        new_labels=[label.line for label in answering.labels],
    )


def _asking_for(contract: ModelContract, outputs: Sequence[str]) -> ModelContract:
    """The contract as far as a question for these outputs rests on it."""
    return contract.model_copy(update={"outputs": tuple(each for each in contract.outputs if each.name in outputs)})
