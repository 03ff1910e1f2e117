"""Modules shared by camserve's Python backends; copied beside the `model.py` of each and run in Triton's Python stub.

No module here imports camserve, so a backend's folder works with any Triton. `instance`, `execution` and the
modules of metrics and reports need Triton's stub, `provider_choice` ONNX Runtime; the others are pure Python.
"""
