"""Measure a server under load: requests per second and their latencies, in a closed or an open loop."""
