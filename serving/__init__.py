"""Serving: a bundle in, a served model out.

`publish` turns a bundle into the next version of a model in a Triton model repository, `rollback` goes back to an older
one, `list_models`, `verify_repository`, `lint_repository` and `prune` look after what stands there, `TritonServer` runs
a real Triton over it, and `LiveServer` speaks to one that runs.
"""

from camserve.serving.config.choices import Accelerator
from camserve.serving.config.presets import PRESETS
from camserve.serving.config.serving_options import Resource, ServingOptions
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.publish import Publication, publish
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.accept import accept_config
from camserve.serving.repository.export_facts import Parity
from camserve.serving.repository.lint.engine import lint_repository
from camserve.serving.repository.lint.findings import Finding
from camserve.serving.repository.listing import ModelEntry, VersionEntry, list_models
from camserve.serving.repository.prune import Pruned, prune
from camserve.serving.repository.verify import Fault, Verification, verify_repository
from camserve.serving.server.server_options import ServerOptions
from camserve.serving.server.server_tls import Tls
from camserve.serving.server.triton import TritonServer
from camserve.tls import ClientTls

__all__ = [
    "PRESETS",
    "Accelerator",
    "ClientTls",
    "Fault",
    "Finding",
    "LiveServer",
    "ModelEntry",
    "Parity",
    "Pruned",
    "Publication",
    "Resource",
    "ServerOptions",
    "ServingOptions",
    "Tls",
    "TritonServer",
    "Verification",
    "VersionEntry",
    "accept_config",
    "lint_repository",
    "list_models",
    "prune",
    "publish",
    "rollback",
    "verify_repository",
]
