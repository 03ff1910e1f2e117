"""Models as read by a client, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.toy import toy_contract

from camserve.clients.answers.served_model import Model, Overrides, read_model
from camserve.clients.wire.values import ServedModel, ServedTensor
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec

__all__ = ["LABELS", "model_of", "served"]

LABELS = ("a", "b", "c", "d")


def served(
    contract: ModelContract | None = None,
    *,
    version: str = "1",
    labels: Sequence[str] | None = LABELS,
    carries: bool = True,
    names: Mapping[str, str] | None = None,
    batch: int = -1,
    max_batch_size: int = 8,
) -> ServedModel:
    """Return a model as described by a server, matching the contract; `carries` includes the contract itself."""
    contract = contract or toy_contract()

    def tensor(spec: TensorSpec) -> ServedTensor:
        return ServedTensor((names or {}).get(spec.name, spec.name), spec.dtype, (batch, *spec.shape))

    parameters = {CONTRACT_PARAMETER: contract.to_json()} if carries else {}
    if labels is not None:
        parameters[LABELS_PARAMETER] = "\n".join(labels)
    return ServedModel(
        name="toy",
        version=version,
        inputs=(tensor(contract.input),),
        outputs=tuple(map(tensor, contract.outputs)),
        max_batch_size=max_batch_size,
        parameters=parameters,
    )


def model_of(contract: ModelContract | None = None, **described: Any) -> Model:
    """Return the model that a client reads from such a description."""
    return read_model(served(contract, **described), Overrides())
