"""A model of your own that camserve did not publish: what it expects is told here instead of read from the server.

    python examples/plain_model.py cat.jpg --url localhost:8001 --model my_model --labels labels.txt --side 224

Triton serves it as it is, with whatever tensor names its export gave it. The contract says how images become its
input; `names` maps the contract's names to the model's own. A contract that does not fit the served tensors is refused
at connect. If the model answers logits, promise `logits` and the activation: the probabilities are then computed here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from camserve.clients import Classifier
from camserve.contract import PRESETS, ModelContract, TensorSpec


def contract_of(model: str, side: int, classes: int, preprocessing: str) -> ModelContract:
    """What a classifier of square colour images expects and answers."""
    return ModelContract(
        name=model,
        input=TensorSpec(name="image", dtype="FP32", shape=(side, side, 3)),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(classes,)),),
        preprocessing=PRESETS[preprocessing],
        activation="softmax",
        classes=classes,
    )


def main() -> None:
    """Asks a plain model for one image."""
    parser = argparse.ArgumentParser(description="Classify by a model without a contract.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton")
    parser.add_argument("--model", default="my_model")
    parser.add_argument("--labels", type=Path, default=Path("labels.txt"), help="one label on each line")
    parser.add_argument("--side", type=int, default=224, help="height and width of the input")
    parser.add_argument("--preprocessing", choices=list(PRESETS), default="caffe", help="as the model was trained")
    parser.add_argument("--input", default="input_1", help="the model's own name of its input")
    parser.add_argument("--output", default="predictions", help="the model's own name of its probabilities")
    arguments = parser.parse_args()

    labels = arguments.labels.read_text(encoding="utf-8").splitlines()
    with Classifier(
        arguments.url,
        arguments.model,
        contract=contract_of(arguments.model, arguments.side, len(labels), arguments.preprocessing),
        labels=labels,
        names={"image": arguments.input, "probabilities": arguments.output},
    ) as classifier:
        result = classifier.classify(arguments.image, top=3)
    for prediction in result.top:
        print(f"{prediction.probability:7.2%}  {prediction.label}")


if __name__ == "__main__":
    main()
