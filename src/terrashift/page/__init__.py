"""A displacement field as one interactive page that needs no server and no network."""
