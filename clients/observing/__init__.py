"""What happened: log lines, spans and counters of every call."""
