"""Images in, answers and maps out, over gRPC from any Triton that serves a model published by camserve.

with Classifier("localhost:8001", "resnet50") as classifier:
    result = classifier.classify("cat.jpg", top=5, cam=True)
result.top[0].label, result.top[0].probability
result.cams[0].overlay().save("map.png")
"""

from camserve.clients.answers.decode import Prediction
from camserve.clients.answers.results import ActivationMap, Classification
from camserve.clients.classifier import Classifier
from camserve.clients.explainer import CAMExplainer
from camserve.clients.pictures.images import ImageInput, load_image
from camserve.clients.pictures.preprocess import prepare
from camserve.clients.scoring import ScoredRow, concerns_one_image, find_images, score
from camserve.clients.table import TableSummary, check_table, write_table

__all__ = [
    "ActivationMap",
    "CAMExplainer",
    "Classification",
    "Classifier",
    "ImageInput",
    "Prediction",
    "ScoredRow",
    "TableSummary",
    "check_table",
    "concerns_one_image",
    "find_images",
    "load_image",
    "prepare",
    "score",
    "write_table",
]
