"""Read a served model, and check its tensors against its contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from camserve.clients.answers.predictions import Label, parse_label
from camserve.clients.wire.values import ServedModel, ServedTensor
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec
from camserve.errors import BundleError, ContractError, UsageError
from camserve.labels import label_fault, label_lines
from camserve.tensors import LOGITS, PROBABILITIES
from camserve.text import count, listed, shortened

__all__ = ["PUBLISH_AGAIN", "Model", "Overrides", "read_model"]

PUBLISH_AGAIN = "Publish the model again: camserve publish BUNDLE --repository DIR"
"""The hint for a model that does not match its contract."""

_VIOLATIONS_SHOWN, _VIOLATION_CHARACTERS = 5, 1_000


@dataclass(frozen=True)
class Overrides:
    """What the caller specified about a model that was not published by camserve.

    Attributes:
        contract: The contract.
        labels: One line per class, as in `labels.txt`.
        names: The model's own names of tensors, by their names in the contract.
    """

    contract: ModelContract | None = None
    labels: tuple[str, ...] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A version of a served model whose tensors match its contract.

    Attributes:
        name: Name of the model.
        version: Its version.
        contract: Its contract.
        labels: One label per class.
        input: Its input, as the server describes it.
        max_batch_size: The most images in one request; 0 if there is no limit.
        names: The model's own names of tensors that differ from the contract.
    """

    name: str
    version: str
    contract: ModelContract
    labels: tuple[Label, ...]
    input: ServedTensor
    max_batch_size: int
    names: Mapping[str, str]

    def output(self, name: str) -> TensorSpec:
        """Return the output with a name.

        Raises:
            UsageError: If the model has no such output.
        """
        spec = self.contract.output(name)
        if spec is None:
            known = ", ".join(output.name for output in self.contract.outputs)
            raise UsageError(f"model {self.name!r} has no output {name!r}", hint=f"Choose one of {known}")
        return spec

    @property
    def scores(self) -> str:
        """Name of the output from which probabilities are computed."""
        return LOGITS if self.contract.output(PROBABILITIES) is None else PROBABILITIES

    @property
    def ranked_by(self) -> str:
        """Name of the output by which classes are sorted: the logits, if the model returns them."""
        has_own_logits = self.contract.activation != "linear" and self.contract.output(LOGITS) is not None
        return LOGITS if has_own_logits else self.scores

    def served_name(self, tensor: str) -> str:
        """Return the server's name of a tensor of the contract."""
        return self.names.get(tensor, tensor)


def read_model(served: ServedModel, overrides: Overrides) -> Model:
    """Read a model from the server's description, and check it against its contract.

    Raises:
        ContractError: If it has no contract and none is passed, another contract or other labels are passed than it
            has, the number of labels is wrong, or its tensors do not match the contract.
        UsageError: If `names` contains an unknown tensor, or one name for two tensors.
    """
    contract = _contract(served, overrides)
    names = _names(contract, overrides)
    violations = [
        *_violations("input", served.inputs, [contract.input], names),
        *_violations("output", served.outputs, contract.outputs, names, may_have_more=overrides.contract is not None),
    ]
    if violations:
        raise ContractError(
            f"model {served.name!r} does not match its contract: {_joined(violations)}",
            hint="Pass the contract and the names that match the model"
            if overrides.contract or overrides.names
            else PUBLISH_AGAIN,
        )
    (tensor,) = (each for each in served.inputs if each.name == names.get(contract.input.name, contract.input.name))
    return Model(
        name=served.name,
        version=served.version,
        contract=contract,
        labels=_labels(served, overrides, contract),
        input=tensor,
        max_batch_size=1 if tensor.shape[0] == 1 else served.max_batch_size,
        names=names,
    )


def _contract(served: ServedModel, overrides: Overrides) -> ModelContract:
    text = served.parameters.get(CONTRACT_PARAMETER, "")
    if not text and overrides.contract is not None:
        return overrides.contract
    if not text:
        raise ContractError(
            f"model {served.name!r} has no contract (parameter {CONTRACT_PARAMETER} of its configuration)",
            hint="Publish it with 'camserve publish', or pass a contract: Classifier(..., contract=\"contract.json\")",
        )
    try:
        own = ModelContract.from_json(text, origin=f"the contract of model {served.name!r}", hint=PUBLISH_AGAIN)
    except BundleError as error:
        raise ContractError(error.message, hint=error.hint) from None
    if overrides.contract not in (None, own):
        raise ContractError(
            f"model {served.name!r} has a contract, which differs from the argument contract",
            hint="Leave out contract",
        )
    return own


def _labels(served: ServedModel, overrides: Overrides, contract: ModelContract) -> tuple[Label, ...]:
    text = served.parameters.get(LABELS_PARAMETER, "").rstrip()
    number = text.count("\n") + 1 if text else 0
    if number > contract.classes:  # not split, as there may be any number
        raise _other_number(served, number, overrides, contract)
    lines = label_lines(text) or overrides.labels or ()
    if overrides.labels not in (None, lines):
        raise ContractError(
            f"model {served.name!r} has labels, which differ from the argument labels", hint="Leave out labels"
        )
    if len(lines) != contract.classes:
        raise _other_number(served, len(lines), overrides, contract)
    for number, line in enumerate(lines):
        fault = label_fault(line)
        if fault is not None:
            raise ContractError(f"the label of class {number} of model {served.name!r} {fault}", hint=PUBLISH_AGAIN)
    return tuple(parse_label(line) for line in lines)


def _other_number(served: ServedModel, number: int, overrides: Overrides, contract: ModelContract) -> ContractError:
    where = "argument labels" if overrides.labels is not None else f"parameter {LABELS_PARAMETER}"
    return ContractError(
        f"model {served.name!r} has {count(contract.classes, 'class')}, but {count(number, 'label')} ({where})",
        hint=PUBLISH_AGAIN if overrides.contract is None else "Pass labels, one for each class",
    )


def _names(contract: ModelContract, overrides: Overrides) -> dict[str, str]:
    known = [contract.input.name, *(output.name for output in contract.outputs)]
    unknown = sorted(overrides.names.keys() - set(known))
    if unknown:
        raise UsageError(
            f"names contains {', '.join(map(repr, unknown))}, but the contract has no such tensor",
            hint=f"Choose from {', '.join(known)}",
        )
    own = Counter(overrides.names.get(name, name) for name in known)
    duplicates = sorted(name for name, number in own.items() if number > 1)
    if duplicates:
        raise UsageError(
            f"names maps several tensors of the contract to {listed(duplicates)}",
            hint="Pass a different name for each; leave tensors that the model does not have out of the contract",
        )
    return dict(overrides.names)


def _violations(
    kind: str,
    served: Sequence[ServedTensor],
    specs: Sequence[TensorSpec],
    names: Mapping[str, str],
    *,
    may_have_more: bool = False,
) -> Iterator[str]:
    found = {tensor.name: tensor for tensor in served}
    expected = {names.get(spec.name, spec.name): spec for spec in specs}
    if not may_have_more:
        more = sorted(found.keys() - expected.keys())
        if more:
            yield f"{kind} {listed(more)} {'is' if len(more) == 1 else 'are'} not in the contract"
    for name, spec in expected.items():
        tensor = found.get(name)
        if tensor is None:
            yield f"{kind} {name!r} is missing"
        elif tensor.datatype != spec.dtype or not _is_batch_of(spec.shape, tensor.shape):
            found_as, expected_as = f"{tensor.datatype} {list(tensor.shape)}", f"{spec.dtype} {[-1, *spec.shape]}"
            yield f"{kind} {name!r} is {found_as}, expected {expected_as}"


def _is_batch_of(shape: tuple[int, ...], served: tuple[int, ...]) -> bool:
    """Return whether a served shape is a batch of a shape, of any size or of one."""
    return len(served) == len(shape) + 1 and served[0] in (-1, 1) and served[1:] == shape


def _joined(violations: Sequence[str]) -> str:
    """Return the first of several violations for a message, and how many more there are."""
    shown = "; ".join(shortened(each, _VIOLATION_CHARACTERS) for each in violations[:_VIOLATIONS_SHOWN])
    return shown if len(violations) <= _VIOLATIONS_SHOWN else f"{shown}; {len(violations) - _VIOLATIONS_SHOWN:,} more"
