"""One sharper image from several coarse frames of a place: baselines by formula, and trained networks."""
