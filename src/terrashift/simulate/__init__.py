"""Make pairs whose displacement is known: ground, ruptures, and the two images of them."""
