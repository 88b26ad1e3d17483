"""Which way a satellite flew over a scene, from the names of the images: stripes run along that."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..io.georeference import parse_crs

EARTH_RADIUS_M, GRAVITY = 6.371e6, 3.986004e14
EARTH_TURN = 7.2921e-5
"""Radians per second."""
POLAR = 0.5
"""Degrees of latitude short of where the orbit turns back; there the track has no one direction."""


class Orbit(NamedTuple):
    """A circular orbit that keeps its angle to the sun; images are taken on the way south."""

    inclination_deg: float
    height_m: float


ORBITS = {
    "Sentinel-2": (re.compile(r"(?:^|[^A-Za-z0-9])(?:S2[A-D]_|T\d{2}[A-Z]{3}_\d{8}T)"), Orbit(98.62, 786e3)),
    "Landsat": (re.compile(r"(?:^|[^A-Za-z0-9])L[CETMO]\d{2}_[A-Z0-9]{4}_\d{6}_\d{8}"), Orbit(98.2, 705e3)),
    "SPOT": (re.compile(r"(?:^|[^A-Za-z0-9])SPOT[-_]?[1-7]", re.IGNORECASE), Orbit(98.2, 694e3)),
    "Pleiades": (re.compile(r"(?:^|[^A-Za-z0-9])(?:DIM_)?PHR1[AB]"), Orbit(98.2, 694e3)),
}


def orbit_of(displacement: DisplacementField) -> tuple[str, Orbit] | None:
    """The mission that both images of a field are from, by their names; None where they do not tell, or differ."""
    names = [str(displacement.made_by.get(role, "")) for role in ("BEFORE", "AFTER")]
    for mission, (pattern, orbit) in ORBITS.items():
        if all(pattern.search(name.replace("\\", "/")) for name in names):
            return mission, orbit
    return None


def track_azimuth(orbit: Orbit, latitude_deg: float) -> float | None:
    """Direction of the descending ground track, degrees from north to the east; None near the poles.

    The earth turns under the orbit, which bends the track to the west (Capderou 2005, Satellites: orbits and missions).

    >>> round(track_azimuth(Orbit(98.2, 705e3), 0.0), 1)  # Landsat at the equator
    192.1
    """
    inclination, latitude = math.radians(orbit.inclination_deg), math.radians(latitude_deg)
    turning = 180 - orbit.inclination_deg if orbit.inclination_deg > 90 else orbit.inclination_deg
    if abs(latitude_deg) > turning - POLAR:
        return None
    radius = EARTH_RADIUS_M + orbit.height_m
    speed = math.sqrt(GRAVITY / radius) * EARTH_RADIUS_M / radius
    sine = math.cos(inclination) / math.cos(latitude)
    east = speed * sine - EARTH_TURN * EARTH_RADIUS_M * math.cos(latitude)
    north = -speed * math.sqrt(1 - sine**2)
    return math.degrees(math.atan2(east, north)) % 360


def track_angle(displacement: DisplacementField) -> tuple[str, float] | None:
    """Mission and direction of its track in the field: degrees from up the image to the right, -90 to 90.

    None where the images' names tell no mission, the field has no CRS, or lies near a pole.
    """
    known = orbit_of(displacement)
    if known is None or displacement.grid.crs is None:
        return None
    place = _north_at(displacement.grid)
    azimuth = track_azimuth(known[1], place.latitude_deg)
    if azimuth is None:
        return None
    # from the CRS's north to the image: through the grid's own axes
    angle = math.radians(azimuth + place.turned_deg)
    x, y = ~displacement.grid.metric_transform() @ (math.sin(angle), math.cos(angle))
    size_x, size_y = displacement.grid.pixel_size
    return known[0], (math.degrees(math.atan2(x * size_x, -y * size_y)) + 90) % 180 - 90


class _North(NamedTuple):
    latitude_deg: float
    turned_deg: float
    """Of true north from the CRS's, to the east."""


def _north_at(grid: Grid) -> _North:
    """Latitude of a grid's middle, and where north is there in its CRS."""
    from rasterio.warp import transform

    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    if grid.geographic:
        return _North(y, 0.0)
    crs = parse_crs(str(grid.crs))
    (longitude,), (latitude,) = transform(crs, "EPSG:4326", [x], [y])[:2]
    (east,), (north,) = transform("EPSG:4326", crs, [longitude], [latitude + 0.01])[:2]
    return _North(latitude, math.degrees(math.atan2(east - x, north - y)))
