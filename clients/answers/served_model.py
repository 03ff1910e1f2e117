"""The served model against its contract: read from the server or given, and refused where the tensors say otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from camserve.clients.answers.predictions import Label, parse_label
from camserve.clients.wire.messages import ServedModel, ServedTensor
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec
from camserve.errors import BundleError, ContractError, UsageError
from camserve.labels import label_lines
from camserve.tensors import LOGITS, PROBABILITIES, expected_outputs

__all__ = ["Model", "Overrides", "read_model"]

_PUBLISH_AGAIN = "Publish the model again from its bundle"


@dataclass(frozen=True)
class Overrides:
    """What the caller says of a model that may not say it itself.

    Attributes:
        contract: Its contract.
        labels: A line for each class, as in `labels.txt`.
        names: The model's own name of a tensor, by the name that the contract gives it.
    """

    contract: ModelContract | None = None
    labels: tuple[str, ...] | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A version of a served model whose tensors are those of its contract.

    Attributes:
        name: The model.
        version: The version of it that was read.
        contract: What it expects and answers.
        labels: One for each class.
        input: Its input, as the server names it.
        max_batch_size: Most images of one request; 0 where there is no maximum.
        names: The model's own name of a tensor, where it is not the contract's.
    """

    name: str
    version: str
    contract: ModelContract
    labels: tuple[Label, ...]
    input: ServedTensor
    max_batch_size: int
    names: Mapping[str, str]

    def output(self, name: str) -> TensorSpec:
        """The output of that name.

        Raises:
            UsageError: If the model has none.
        """
        spec = self.contract.output(name)
        if spec is None:
            known = ", ".join(output.name for output in self.contract.outputs)
            raise UsageError(f"model {self.name!r} has no output {name!r}", hint=f"It has {known}")
        return spec

    @property
    def scores(self) -> str:
        """The output that probabilities are read from."""
        return LOGITS if self.contract.output(PROBABILITIES) is None else PROBABILITIES

    def served_name(self, tensor: str) -> str:
        """What the server calls a tensor of the contract."""
        return self.names.get(tensor, tensor)


def read_model(served: ServedModel, given: Overrides) -> Model:
    """The model, held to its contract.

    Raises:
        ContractError: If it has no contract and none is given, if what is given is not what it carries, if it has not
            a label for each class, or if its tensors are not those of the contract.
        UsageError: If a name is given to a tensor that the contract does not know, or one name to two.
    """
    contract = _contract(served, given)
    names = _names(contract, given)
    faults = [
        *_faults("input", served.inputs, [contract.input], names),
        *_faults("output", served.outputs, contract.outputs, names, may_have_more=given.contract is not None),
        *_faults_within(contract),
    ]
    if faults:
        raise ContractError(
            f"model {served.name!r} does not keep its contract: {'; '.join(faults)}",
            hint="Give the contract and the names that fit the model"
            if given.contract or given.names
            else _PUBLISH_AGAIN,
        )
    (tensor,) = (each for each in served.inputs if each.name == names.get(contract.input.name, contract.input.name))
    return Model(
        name=served.name,
        version=served.version,
        contract=contract,
        labels=_labels(served, given, contract),
        input=tensor,
        max_batch_size=1 if tensor.shape[0] == 1 else served.max_batch_size,
        names=names,
    )


def _contract(served: ServedModel, given: Overrides) -> ModelContract:
    text = served.parameters.get(CONTRACT_PARAMETER, "")
    if not text and given.contract is not None:
        return given.contract
    if not text:
        raise ContractError(
            f"model {served.name!r} carries no contract (parameter {CONTRACT_PARAMETER} in its configuration)",
            hint="Publish it with 'camserve publish', so that clients know its preprocessing and its labels; or give "
            "Classifier a contract in Python",
        )
    try:
        carried = ModelContract.from_json(text, origin=f"the contract of model {served.name!r}")
    except BundleError as error:
        raise ContractError(error.message, hint=error.hint) from error
    if given.contract not in (None, carried):
        raise ContractError(
            f"model {served.name!r} carries a contract, and it is not the one given", hint="Leave contract out"
        )
    return carried


def _labels(served: ServedModel, given: Overrides, contract: ModelContract) -> tuple[Label, ...]:
    carried = label_lines(served.parameters.get(LABELS_PARAMETER, ""))
    lines = carried or given.labels or ()
    if given.labels not in (None, lines):
        raise ContractError(
            f"model {served.name!r} carries labels, and they are not those given", hint="Leave labels out"
        )
    if len(lines) != contract.classes:
        verb, where = "carries", f" (parameter {LABELS_PARAMETER} in its configuration)"
        if given.labels is not None:
            verb, where = "was given", ""
        raise ContractError(
            f"model {served.name!r} {verb} {len(lines)} labels for {contract.classes} classes{where}",
            hint=_PUBLISH_AGAIN if given.contract is None else "Give labels, one for each class",
        )
    return tuple(parse_label(line) for line in lines)


def _names(contract: ModelContract, given: Overrides) -> dict[str, str]:
    known = [contract.input.name, *(output.name for output in contract.outputs)]
    unknown = sorted(given.names.keys() - set(known))
    if unknown:
        raise UsageError(
            f"names are given to {', '.join(map(repr, unknown))}, which the contract does not know",
            hint=f"Its tensors are {', '.join(known)}",
        )
    own = [given.names.get(name, name) for name in known]
    twice = sorted({name for name in own if own.count(name) > 1})
    if twice:
        raise UsageError(
            f"names give {', '.join(map(repr, twice))} to several tensors of the contract",
            hint="Name each of them; leave those that the model does not have out of the contract",
        )
    return dict(given.names)


def _faults(
    kind: str,
    served: Sequence[ServedTensor],
    promised: Sequence[TensorSpec],
    names: Mapping[str, str],
    *,
    may_have_more: bool = False,
) -> Iterator[str]:
    found = {tensor.name: tensor for tensor in served}
    expected = {names.get(spec.name, spec.name): spec for spec in promised}
    if not may_have_more:
        yield from (f"{kind} {name!r} is not in the contract" for name in sorted(found.keys() - expected.keys()))
    for name, spec in expected.items():
        tensor = found.get(name)
        if tensor is None:
            yield f"{kind} {name!r} is missing"
        elif tensor.datatype != spec.dtype or not _same_shape(tensor.shape, spec.shape):
            found_as, promised_as = f"{tensor.datatype} {list(tensor.shape)}", f"{spec.dtype} {[-1, *spec.shape]}"
            yield f"{kind} {name!r} is {found_as}, promised {promised_as}"


def _same_shape(served: tuple[int, ...], promised: tuple[int, ...]) -> bool:
    """Whether it is a batch of what is promised: of any size, or always of one."""
    return len(served) == len(promised) + 1 and served[0] in (-1, 1) and served[1:] == promised


def _faults_within(contract: ModelContract) -> Iterator[str]:
    """What a contract must also promise, so that an answer can be read from it."""
    if contract.output(PROBABILITIES) is None and contract.output(LOGITS) is None:
        yield f"the contract promises neither {PROBABILITIES!r} nor {LOGITS!r}"
    for spec in expected_outputs(contract.classes, contract.cam):
        optional = spec.name in (PROBABILITIES, LOGITS) and contract.output(spec.name) is None
        if not optional and contract.output(spec.name) != spec:
            yield f"the contract does not promise {spec.name!r} as {spec.dtype} {list(spec.shape)}"
    pixels = contract.preprocessing
    if contract.input.dtype == "UINT8" and not pixels.in_graph and (pixels.color == "bgr" or pixels.arithmetic):
        yield "the contract wants arithmetic from the client and bytes as the input"
