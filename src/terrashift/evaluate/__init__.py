"""Judge every way of measuring on the same cases, and show the outcome in one table."""
