"""The servers that are compared, and how each is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.peers.calls import Form

__all__ = ["FOLDER", "PEERS", "PROTOCOLS", "Peer"]

FOLDER = Path(__file__).parent

PROTOCOLS: dict[Form, str] = {"tensor": "gRPC", "bytes": "gRPC, bytes", "http": "HTTP, raw bytes"}


@dataclass(frozen=True)
class Peer:
    """A server.

    Attributes:
        name: Its name.
        package: Its package, whose version is reported.
        folder: Its folder.
        form: How it takes an image: the fastest way that it documents.
        model: The name of the model, or the path of its URL.
    """

    name: str
    package: str
    folder: str
    form: Form
    model: str


PEERS = (
    Peer("MLServer", "mlserver", "mlserver", "bytes", "model"),
    Peer("KServe", "kserve", "kserve", "tensor", "model"),
    Peer("LitServe", "litserve", "litserve", "http", "predict"),
    Peer("BentoML", "bentoml", "bentoml", "http", "raw/classify"),
    Peer("Ray Serve", "ray", "ray_serve", "http", "classify"),
)
