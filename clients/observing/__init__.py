"""Observability: log lines, spans and metrics of every request."""
