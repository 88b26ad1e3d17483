"""Networks as plain modules: tensors in, tensors out; no files, no metres."""
