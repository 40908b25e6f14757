"""Clipping rules, one a file."""
