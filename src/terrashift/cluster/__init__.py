"""How does a run spread over many machines? Dask hands out the tiles, workers write them to the shared store."""
