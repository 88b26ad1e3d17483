"""Bring images onto each other, and take out of a displacement field what is no motion of the ground."""
