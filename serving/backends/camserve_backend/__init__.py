"""What the Python backends of camserve share; copied beside the `model.py` of each, and run inside Triton's stub.

Nothing here imports camserve: a backend's folder must run wherever Triton does. Only `answering` needs Triton's stub;
the rest are pure functions of the configuration.
"""
