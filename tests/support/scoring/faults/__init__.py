"""Parts of `benchmarks/scoring_faults.py`: each causes faults while images are scored, and checks what came of it."""
