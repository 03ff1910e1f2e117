"""A running Triton, asked and told over gRPC."""
