"""Bring images onto one grid: find where the one lies on the other, and resample it once."""
