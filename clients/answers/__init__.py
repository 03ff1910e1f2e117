"""Answers: held to the contract, and turned into classes and maps; nothing here reads a file or calls a server."""
