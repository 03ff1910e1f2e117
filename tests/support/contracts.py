"""Contracts of models of which only the input matters."""

from __future__ import annotations

from camserve.contract import ModelContract, Preprocessing, TensorSpec

__all__ = ["contract_of_input"]


def contract_of_input(
    preprocessing: Preprocessing, size: tuple[int, int], dtype: str = "FP32", *, classes: int = 2
) -> ModelContract:
    """Return the contract of a model that takes images of this preprocessing, height and width."""
    return ModelContract(
        name="any",
        input=TensorSpec.model_validate({"name": "image", "dtype": dtype, "shape": (*size, preprocessing.channels)}),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(classes,)),),
        preprocessing=preprocessing,
        activation="softmax",
        classes=classes,
    )
