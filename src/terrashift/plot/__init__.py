"""Figures of results; values in, picture files out."""
