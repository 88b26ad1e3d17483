"""Values that everything else speaks in; no files, no networks."""
