"""Checks of Dockerfiles, compose, Kubernetes, Prometheus and Grafana files that need no engine and no cluster.

Each module reads the files of one kind and returns what is wrong with them, one sentence a fault.
"""
