"""How is noise taken out of a measured flow? One answer per file."""
