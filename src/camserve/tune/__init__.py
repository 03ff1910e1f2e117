"""Find the serving options with the most images per second on this host.

`choices` lists candidates, `search` decides which to measure further, `bench` measures them on the embedded Triton,
and `run` puts them together.
"""
