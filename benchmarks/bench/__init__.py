"""One benchmark against everything a user would choose instead, as `make bench` runs it: `python benchmarks/bench`.

A part is a module with a function `measure(settings) -> list[Table]`, and is listed in `parts`.
"""
