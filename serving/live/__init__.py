"""Connections to a running Triton over gRPC, for its administration."""
