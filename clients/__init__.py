"""Images in, answers and maps out, over gRPC from any Triton that serves a model published by camserve.

Example:
    with Classifier("localhost:8001", "resnet50") as classifier:
        result = classifier.classify("cat.jpg", top=5, cam=True)
    result.top[0].label, result.top[0].probability
    result.cams[0].overlay("cat.jpg").save("map.png")
"""

from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.decode import Prediction
from camserve.clients.answers.results import ActivationMap
from camserve.clients.async_classifier import AsyncClassifier
from camserve.clients.classifier import Classifier
from camserve.clients.explainer import CAMExplainer
from camserve.clients.observing.metrics import Metrics
from camserve.clients.pictures.arrays import Pixels
from camserve.clients.pictures.crops import Crops
from camserve.clients.pictures.images import ImageInput, load_image
from camserve.clients.pictures.placement import Placement
from camserve.clients.pictures.preprocess import prepare
from camserve.clients.pictures.reading import Reading
from camserve.clients.scoring import ScoredRow, find_images, score
from camserve.clients.table import TableSummary, check_table, write_table
from camserve.tls import ClientTls

__all__ = [
    "ActivationMap",
    "AsyncClassifier",
    "CAMExplainer",
    "Classification",
    "Classifier",
    "ClientTls",
    "Crops",
    "ImageInput",
    "Metrics",
    "Pixels",
    "Placement",
    "Prediction",
    "Reading",
    "ScoredRow",
    "TableSummary",
    "Timings",
    "check_table",
    "find_images",
    "load_image",
    "prepare",
    "score",
    "write_table",
]
