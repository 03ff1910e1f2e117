"""What the Python backends of camserve share; copied beside the `model.py` of each, and run inside Triton's stub.

Nothing here imports camserve: a backend's folder must run wherever Triton does. `instance`, `answering` and
`counting` need Triton's stub; the rest is pure.
"""
