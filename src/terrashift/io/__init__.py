"""Files and URLs in and out: rasters, results, and the working store of a run."""
