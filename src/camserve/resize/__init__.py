"""Resize filters, each bit-equal to the library it is named after, without importing that library."""
