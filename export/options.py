"""The options of an export, as `export_model` documents them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from camserve.choices import FORMATS, InputType
from camserve.contract import Fit, Preprocessing, ResizeFilter
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.tolerances import Tolerances
from camserve.export.int8.choice import LayerChoice
from camserve.labels import LabelSource

__all__ = ["ExportOptions"]


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export; `export_model` documents each."""

    name: str | None = None
    weights: str | None = None
    sha256: str | None = None
    custom_objects: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    classes: int | None = None
    preprocessing: str | Preprocessing | None = None
    resize: ResizeFilter | None = None
    fit: Fit | None = None
    allow_double_preprocessing: bool = False
    expect: str | Path | None = None
    labels: LabelSource | None = None
    cam: bool = True
    cam_top_k: int = 5
    cam_all: bool = False
    map_quality: bool = False
    boxes: str | Path | None = None
    input_dtype: InputType = "float32"
    onnx: OnnxSettings = field(default_factory=OnnxSettings)
    calibration: str | Path | None = None
    int8_layers: LayerChoice = field(default_factory=LayerChoice)
    formats: tuple[str, ...] = FORMATS
    tolerances: Tolerances = field(default_factory=Tolerances)
