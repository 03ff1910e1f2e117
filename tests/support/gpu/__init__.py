"""Parts of `benchmarks/gpu.py`: what is measured, each measurement in a process of its own, and the report."""
