"""gRPC: calls to one or several servers with deadlines, retries and typed errors."""
