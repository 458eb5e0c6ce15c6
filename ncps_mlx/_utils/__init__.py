"""Validation, values as JSON, files, optional packages, progress."""
