"""The served model against its contract: read from the server, and refused where the tensors say otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from camserve.clients.answers.decode import Label, parse_label
from camserve.clients.wire.connection import ServedModel, ServedTensor
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, Preprocessing, TensorSpec
from camserve.errors import BundleError, ContractError
from camserve.labels import label_lines

__all__ = ["CAM", "CAM_CLASS", "PROBABILITIES", "check_tensors", "read_contract", "read_labels"]

PROBABILITIES = "probabilities"
CAM = "cam"
CAM_CLASS = "cam_class"

_PUBLISH_AGAIN = "Publish the model again from its bundle"


def read_contract(served: ServedModel) -> ModelContract:
    """The contract that the model was published with.

    Raises:
        ContractError: If there is none, or it cannot be read.
    """
    text = served.parameters.get(CONTRACT_PARAMETER, "")
    if not text:
        raise ContractError(
            f"model {served.name!r} carries no contract (parameter {CONTRACT_PARAMETER} in its configuration)",
            hint="Publish it with 'camserve publish', so that clients know its preprocessing and its labels",
        )
    try:
        return ModelContract.from_json(text, origin=f"the contract of model {served.name!r}")
    except BundleError as error:
        raise ContractError(error.message, hint=error.hint) from error


def read_labels(served: ServedModel, contract: ModelContract) -> tuple[Label, ...]:
    """The labels that the model was published with, in class order.

    Raises:
        ContractError: If there is not one for each class.
    """
    lines = label_lines(served.parameters.get(LABELS_PARAMETER, ""))
    if len(lines) != contract.classes:
        raise ContractError(
            f"model {served.name!r} carries {len(lines)} labels for {contract.classes} classes "
            f"(parameter {LABELS_PARAMETER} in its configuration)",
            hint=_PUBLISH_AGAIN,
        )
    return tuple(parse_label(line) for line in lines)


def check_tensors(served: ServedModel, contract: ModelContract) -> None:
    """Refuses a model whose tensors are not those of its contract.

    Raises:
        ContractError: If a tensor is missing, is unknown to the contract, or has another type or shape; the message
            names each.
    """
    faults = _faults("input", served.inputs, [contract.input])
    faults += _faults("output", served.outputs, contract.outputs)
    faults += _faults_within(contract)
    if faults:
        raise ContractError(
            f"model {served.name!r} does not keep its contract: {'; '.join(faults)}", hint=_PUBLISH_AGAIN
        )


def _faults(kind: str, served: Sequence[ServedTensor], promised: Sequence[TensorSpec]) -> list[str]:
    found = {tensor.name: tensor for tensor in served}
    named = {tensor.name for tensor in promised}
    faults = [f"{kind} {name!r} is not in the contract" for name in sorted(found.keys() - named)]
    for spec in promised:
        tensor = found.get(spec.name)
        if tensor is None:
            faults.append(f"{kind} {spec.name!r} is missing")
        elif tensor.datatype != spec.dtype or not _same_shape(tensor.shape, spec.shape):
            faults.append(
                f"{kind} {spec.name!r} is {tensor.datatype} {list(tensor.shape)}, promised {spec.dtype} "
                f"{[-1, *spec.shape]}"
            )
    return faults


def _same_shape(served: tuple[int, ...], promised: tuple[int, ...]) -> bool:
    return len(served) == len(promised) + 1 and served[0] == -1 and served[1:] == promised


def _faults_within(contract: ModelContract) -> list[str]:
    """What a contract must also promise, so that an answer can be read from it."""
    faults = []
    expected: dict[str, TensorSpec] = {
        PROBABILITIES: TensorSpec(name=PROBABILITIES, dtype="FP32", shape=(contract.classes,))
    }
    if contract.cam is not None:
        count = contract.cam.top_k
        expected[CAM] = TensorSpec(name=CAM, dtype="FP32", shape=(count, *contract.cam.grid))
        expected[CAM_CLASS] = TensorSpec(name=CAM_CLASS, dtype="INT32", shape=(count,))
    for name, spec in expected.items():
        if contract.output(name) != spec:
            faults.append(f"the contract does not promise {name!r} as {spec.dtype} {list(spec.shape)}")
    if contract.input.dtype == "UINT8" and not (contract.preprocessing.in_graph or _untouched(contract.preprocessing)):
        faults.append("the contract wants arithmetic from the client and bytes as the input")
    return faults


def _untouched(preprocessing: Preprocessing) -> bool:
    divisors = {*preprocessing.scale, *preprocessing.std}
    return preprocessing.color != "bgr" and divisors == {1.0} and set(preprocessing.mean) == {0.0}
