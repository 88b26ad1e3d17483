"""Motion of the surface of an elastic half-space where triangles below it slip (Nikkhoo & Walter 2015, by `cutde`)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

POISSON = 0.25


def by_triangles(
    points: Float[np.ndarray, "points 2"],
    triangles: Float[np.ndarray, "triangles 3 3"],
    slips: Float[np.ndarray, "triangles 3"],
) -> Float[np.ndarray, "points 3"]:
    """East, north and up at surface points (east, north), summed over triangles (corners east, north, up <= 0).

    A slip (east, north, up) is the motion of the side that a triangle's normal points to, less that of the other; the
    normal is the one about which its corners run anticlockwise. Units of length and of slip are free.
    """
    from cutde.halfspace import disp_free

    observed = np.column_stack([points, np.zeros(len(points))])
    own = np.einsum("tij,tj->ti", _own_axes(triangles), slips)
    return disp_free(observed, np.ascontiguousarray(triangles), own, POISSON)


def _own_axes(triangles: Float[np.ndarray, "triangles 3 3"]) -> Float[np.ndarray, "triangles 3 3"]:
    """Unit vectors along strike, up dip and along the normal of each triangle, as the slip is counted by `cutde`."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    strike = np.stack([-normal[:, 1], normal[:, 0], np.zeros(len(normal))], 1)  # up x normal
    strike /= np.linalg.norm(strike, axis=1, keepdims=True)
    return np.stack([strike, np.cross(normal, strike), normal], 1)
