"""Parts of `benchmarks/scoring.py`: images, servers, what is compared with `camserve score`, and the results."""
