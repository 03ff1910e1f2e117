"""The wire: gRPC calls to one server or several, each under a deadline, each failure a typed error."""
