"""Classify with a Triton model that camserve did not publish and that has no contract.

    python examples/plain_model.py cat.jpg --url localhost:8001 --model my_model --labels labels.txt --side 224

The contract describes the input and output tensors and the preprocessing; `names` maps the tensor names of the contract
to those of the model. Connecting fails if the contract does not fit the served tensors. For a model that returns
logits, declare the output `logits` and the activation: the client then computes the probabilities.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from camserve.clients import Classifier
from camserve.contract import PRESETS, ModelContract, TensorSpec


def make_contract(model: str, side: int, classes: int, preprocessing: str) -> ModelContract:
    """Describe a classifier of square color images."""
    return ModelContract(
        name=model,
        input=TensorSpec(name="image", dtype="FP32", shape=(side, side, 3)),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(classes,)),),
        preprocessing=PRESETS[preprocessing],
        activation="softmax",
        classes=classes,
    )


def main() -> None:
    """Classify one image with a model that has no contract."""
    parser = argparse.ArgumentParser(description="Classify with a model that has no contract.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton (default: localhost:8001)")
    parser.add_argument("--model", default="my_model", help="name of the model (default: my_model)")
    parser.add_argument(
        "--labels", type=Path, default=Path("labels.txt"), help="file with one label per line (default: labels.txt)"
    )
    parser.add_argument("--side", type=int, default=224, help="height and width of the input (default: 224)")
    parser.add_argument(
        "--preprocessing",
        choices=list(PRESETS),
        default="caffe",
        help="preprocessing that the model was trained with (default: caffe)",
    )
    parser.add_argument("--input", default="input_1", help="name of the input tensor (default: input_1)")
    parser.add_argument("--output", default="predictions", help="name of the output tensor (default: predictions)")
    arguments = parser.parse_args()

    labels = arguments.labels.read_text(encoding="utf-8").splitlines()
    with Classifier(
        arguments.url,
        arguments.model,
        contract=make_contract(arguments.model, arguments.side, len(labels), arguments.preprocessing),
        labels=labels,
        names={"image": arguments.input, "probabilities": arguments.output},
    ) as classifier:
        result = classifier.classify(arguments.image, top=3)
    for prediction in result.top:
        print(f"{prediction.probability:7.2%}  {prediction.label}")


if __name__ == "__main__":
    main()
