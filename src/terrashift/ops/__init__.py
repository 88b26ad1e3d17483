"""Pure tensor functions, on any device."""
