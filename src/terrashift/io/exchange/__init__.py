"""Displacement fields in other programs' files, each with its own bands, units and signs."""
