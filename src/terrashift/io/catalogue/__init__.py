"""Find pairs of scenes in STAC catalogues, and fetch their pixels as they are."""
