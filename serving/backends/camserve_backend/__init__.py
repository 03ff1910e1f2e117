"""Modules shared by camserve's Python backends; copied beside the `model.py` of each and run in Triton's Python stub.

No module here imports camserve, so a backend's folder works with any Triton. `instance`, `execution`, `loaded_config`
and the metrics need Triton's stub; the others are pure Python.
"""
