"""The embedded Triton: command line, process, readiness and options."""
