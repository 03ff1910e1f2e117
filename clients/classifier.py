"""The classifier: a picture in, its classes and their maps out, configured by the contract that the model carries."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.answers.decode import Label, check_finite, check_top, ranking, top_predictions
from camserve.clients.answers.old_served import CAM, CAM_CLASS, PROBABILITIES, check_tensors, read_contract, read_labels
from camserve.clients.answers.old_tensors import check_answer, check_batch, output_spec
from camserve.clients.answers.results import ActivationMap, Classification
from camserve.clients.pictures.images import ImageInput, load_image
from camserve.clients.pictures.preprocess import fit_image, prepare, to_tensor
from camserve.clients.pictures.reading import MAX_PIXELS, Reading
from camserve.clients.wire.connection import Answer, Connection, ServedTensor
from camserve.contract import ModelContract
from camserve.errors import RequestError, UsageError

__all__ = ["Classifier"]

Array = np.ndarray[Any, Any]


class Classifier:
    """A served image classifier. May be used from several threads; close it, or use it in a `with` block.

    Args:
        url: `HOST:PORT` of Triton's gRPC endpoint.
        model: Name of the model.
        version: Version of the model; the newest that is served unless given.
        timeout: Deadline of each request, in seconds.
        max_pixels: Width times height above which a picture is refused before it is decoded.

    Raises:
        ConnectionFailedError: If no server answers at this address.
        DeadlineError: If a server does not answer in time.
        RequestError: If the model is not loaded.
        ContractError: If the model has no contract, or its tensors disagree with it.
    """

    def __init__(
        self, url: str, model: str, *, version: str = "", timeout: float = 30.0, max_pixels: int = MAX_PIXELS
    ) -> None:
        self.url = url
        self.model = model
        self._version = version
        self._max_pixels = max_pixels
        self._connection = Connection(url, timeout=timeout)
        try:
            self._configure()
        except BaseException:
            self._connection.close()
            raise

    def _configure(self) -> None:
        served = self._connection.describe(self.model, self._version)
        self._contract = read_contract(served)
        self._label_table = read_labels(served, self._contract)
        check_tensors(served, self._contract)
        self._input: ServedTensor = served.inputs[0]
        self._max_batch_size = served.max_batch_size

    @property
    def contract(self) -> ModelContract:
        """What the model expects and answers, as it carries it."""
        return self._contract

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in class order."""
        return tuple(label.name for label in self._label_table)

    def classify(self, image: ImageInput, *, top: int = 5, cam: bool = False) -> Classification:
        """Names what a picture shows.

        Args:
            image: A path, the bytes of an image file, a Pillow image, or a uint8 array in RGB or gray.
            top: How many classes to name, best first.
            cam: Whether to ask for the maps too: one for each class named, up to the number that the model gives.

        Raises:
            ImageError: If the picture cannot be read or fitted to the input.
            UsageError: If `top` is less than one, or maps are asked of a model without.
            DeadlineError: If the answer does not come in time.
            ConnectionFailedError: If the server has gone.
            RequestError: If the server refuses, or answers NaN.
            ContractError: If the answer is not what the contract promises.
        """
        check_top(top)
        if cam:
            self._check_has_cam()
        picture = fit_image(self._load(image), self._contract).picture
        batch = to_tensor(picture, self._contract)[np.newaxis]
        answer = self._ask(batch, (PROBABILITIES, CAM, CAM_CLASS) if cam else (PROBABILITIES,))
        probabilities = answer.tensors[PROBABILITIES][0]
        return Classification(
            top=top_predictions(probabilities, self._label_table, top),
            cams=self._maps(answer, picture, top) if cam else (),
            model=self.model,
            version=answer.version,
            probabilities=probabilities,
        )

    def prepare(self, image: ImageInput) -> Array:
        """The tensor that `classify` sends for a picture, `[height, width, channels]`.

        Raises:
            ImageError: If the picture cannot be read or fitted to the input.
        """
        return prepare(self._load(image), self._contract)

    def infer(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Sends prepared pictures and returns raw outputs, such as `logits`, by name.

        Args:
            batch: `[pictures, height, width, channels]`, as `prepare` makes them.
            outputs: Names of outputs of the contract.

        Raises:
            UsageError: If the batch does not fit the input, holds NaN or infinity, or an output is not the model's.
            DeadlineError: If the answer does not come in time.
            ConnectionFailedError: If the server has gone.
            RequestError: If the server refuses.
            ContractError: If the answer is not what the contract promises.
        """
        check_batch(batch, self._contract.input, self._max_batch_size, self.model)
        return dict(self._ask(batch, outputs).tensors)

    def is_ready(self) -> bool:
        """Whether the server says that it serves the model.

        Raises:
            ConnectionFailedError: If the server has gone.
            DeadlineError: If the server does not answer in time.
        """
        return self._connection.is_ready(self.model, self._version)

    def close(self) -> None:
        """Closes the connection; closing twice changes nothing."""
        self._connection.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self, image: ImageInput) -> Image.Image:
        return load_image(image, Reading(max_pixels=self._max_pixels))

    def _ask(self, batch: Array, outputs: Sequence[str]) -> Answer:
        specs = [output_spec(self._contract, name, self.model) for name in outputs]
        answer = self._connection.infer(self.model, self._version, self._input, batch, outputs)
        for spec in specs:
            check_answer(answer.tensors.get(spec.name), spec, len(batch), self.model)
        return answer

    def _check_has_cam(self) -> None:
        if self._contract.cam is None:
            raise UsageError(
                f"model {self.model!r} was exported without maps",
                hint="Leave the maps out (cam; --cam-dir at the command line), or export it again without --no-cam",
            )

    def _maps(self, answer: Answer, picture: Image.Image, top: int) -> tuple[ActivationMap, ...]:
        probabilities, grids, classes = (answer.tensors[name][0] for name in (PROBABILITIES, CAM, CAM_CLASS))
        check_finite(grids, CAM)
        ranked = ranking(probabilities)
        seen = picture.copy()  # the caller may go on to draw on theirs
        maps = [
            ActivationMap(index, self._label(index).name, float(probabilities[index]), grid, seen)
            for index, grid in zip(classes.tolist(), grids, strict=True)
        ]
        # The model ranks by logits; equal probabilities are put into the order of the classes named.
        maps.sort(key=lambda cam: ranked.index(cam.class_index))
        return tuple(maps[:top])

    def _label(self, index: int) -> Label:
        if not 0 <= index < len(self._label_table):
            raise RequestError(f"model {self.model!r} answered a map of class {index}, which it does not have")
        return self._label_table[index]
