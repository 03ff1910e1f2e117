"""Images in, answers and maps out, over gRPC from any Triton that serves a model published by camserve.

Example:
    with Classifier("localhost:8001", "resnet50") as classifier:
        result = classifier.classify("cat.jpg", top=5, cam=True)
    result.top[0].label, result.top[0].probability
    result.cams[0].overlay("cat.jpg").save("map.png")
"""

from typing import TYPE_CHECKING

from camserve.lazy import lazy_exports

if TYPE_CHECKING:
    from camserve.clients.answers.activation_map import ActivationMap
    from camserve.clients.answers.classification import Classification, Timings
    from camserve.clients.answers.predictions import Prediction
    from camserve.clients.async_classifier import AsyncClassifier
    from camserve.clients.batch_scorer import BatchScorer
    from camserve.clients.classifier import Classifier
    from camserve.clients.evaluation.compare import compare_tables
    from camserve.clients.evaluation.comparison import ChangedAnswer, Comparison
    from camserve.clients.evaluation.evaluate import evaluate
    from camserve.clients.evaluation.images import evaluate_images
    from camserve.clients.evaluation.page.write import PageSummary, write_page
    from camserve.clients.evaluation.results import (
        Calibration,
        CalibrationBin,
        ClassMetrics,
        Confusion,
        Evaluation,
        Mistake,
        SkippedRows,
        TopAccuracy,
    )
    from camserve.clients.evaluation.versions import AnsweringVersion
    from camserve.clients.explainer import CAMExplainer
    from camserve.clients.load.measure import measure_load
    from camserve.clients.load.measurement import LoadProgress
    from camserve.clients.load.options import LoadLevel, LoadOptions
    from camserve.clients.load.results import LatencySummary, LoadPoint, LoadResult, LoadWindow, ServerTimes
    from camserve.clients.observing.metrics import Metrics
    from camserve.clients.scoring.inputs import Items, find_images, find_items
    from camserve.clients.scoring.items import Item
    from camserve.clients.scoring.rows import RowMap, ScoredRow
    from camserve.clients.scoring.stream_scores import score
    from camserve.clients.table_run import score_table
    from camserve.clients.tables.camera_submission import write_camera_submission
    from camserve.clients.tables.checks import check_table
    from camserve.clients.tables.map_grid import read_map_grid
    from camserve.clients.tables.table import write_table
    from camserve.clients.tables.table_file import TableSummary
    from camserve.clients.wire.connection_options import ConnectionOptions
    from camserve.images.crops import Crops
    from camserve.images.decode_options import DecodeOptions
    from camserve.images.left_out import LeftOut
    from camserve.images.loading import ImageInput, load_image
    from camserve.images.pixel_arrays import Pixels
    from camserve.images.placement import Placement
    from camserve.images.preprocess import prepare
    from camserve.tls import ClientTls
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__all__ = [
    "ActivationMap",
    "AnsweringVersion",
    "AsyncClassifier",
    "BatchScorer",
    "CAMExplainer",
    "Calibration",
    "CalibrationBin",
    "ChangedAnswer",
    "ClassMetrics",
    "Classification",
    "Classifier",
    "ClientTls",
    "Comparison",
    "Confusion",
    "ConnectionOptions",
    "Crops",
    "DecodeOptions",
    "Evaluation",
    "ImageInput",
    "Item",
    "Items",
    "LatencySummary",
    "LeftOut",
    "LoadLevel",
    "LoadOptions",
    "LoadPoint",
    "LoadProgress",
    "LoadResult",
    "LoadWindow",
    "Metrics",
    "Mistake",
    "PageSummary",
    "Pixels",
    "Placement",
    "Prediction",
    "RowMap",
    "ScoredRow",
    "ServerTimes",
    "SkippedRows",
    "TableSummary",
    "Timings",
    "TopAccuracy",
    "check_table",
    "compare_tables",
    "evaluate",
    "evaluate_images",
    "find_images",
    "find_items",
    "load_image",
    "measure_load",
    "prepare",
    "read_map_grid",
    "score",
    "score_table",
    "write_camera_submission",
    "write_page",
    "write_table",
]
