"""Checks of Dockerfiles, compose, Kubernetes, Prometheus and Grafana files, without a Docker engine or a cluster.

Each module checks the files of one kind and returns one sentence per fault.
"""
