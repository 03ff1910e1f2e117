"""Modules shared by camserve's Python backends; copied beside the `model.py` of each and run in Triton's Python stub.

No module here imports camserve, so a backend's folder works with any Triton. `instance`, `execution`, `loaded_config`
and the modules of metrics and reports need Triton's stub; `provider_choice`, `onnx_sessions`, `bound_session` and what
imports them need ONNX Runtime, `tensorflow_gpu` needs TensorFlow; the others need at most numpy.
"""
