"""How is displacement measured? One answer per file."""
