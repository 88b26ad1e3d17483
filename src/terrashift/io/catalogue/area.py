"""The box on the ground that is searched and fetched, and how much of it a scene covers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...core.grid import metres_per_degree
from ...errors import OptionError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

INSTALL = "pip install terrashift[catalogue]"
EDGE_POINTS = 33
"""Points on each side of the box that are carried into a scene's CRS, where straight sides become curves."""
LARGEST_KM = 2000.0


@dataclass(frozen=True)
class Area:
    """A box in longitude and latitude (degrees, WGS 84). One that crosses the antimeridian has `east` above 180."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of_box(cls, box: Sequence[float | int]) -> Area:
        """Read (west, south, east, north); west of 179 and east of -179 is a box across the antimeridian.

        >>> Area.of_box((179.5, -17, -179.5, -16)).east
        180.5

        Raises:
            OptionError: numbers that are no box on Earth.
        """
        west, south, east, north = (float(value) for value in box)
        if not all(math.isfinite(value) for value in (west, south, east, north)):
            raise OptionError(f"--box {_numbers(box)} holds no numbers: give west south east north, in degrees")
        if max(abs(south), abs(north)) > 90:
            raise OptionError(
                f"--box {_numbers(box)} has a latitude of {max(south, north, key=abs):g}, and there is none above 90: "
                f"longitude comes first. Did you mean --box {south:g} {west:g} {north:g} {east:g}?"
            )
        _check_longitudes((west, east), f"--box {_numbers(box)}")
        if south >= north:
            raise OptionError(
                f"--box {_numbers(box)} has its south edge at {south:g} and its north edge at {north:g}: give west "
                f"south east north, that is --box {west:g} {north:g} {east:g} {south:g}"
                if south > north
                else f"--box {_numbers(box)} has no height: south and north are both {south:g}"
            )
        if west == east:
            raise OptionError(f"--box {_numbers(box)} has no width: west and east are both {west:g}")
        west, east = _wrapped(west), _wrapped(east) + (360 if _wrapped(east) <= _wrapped(west) else 0)
        if east - west > 180:
            raise OptionError(
                f"--box {_numbers(box)} would go {east - west:g} degrees around the Earth: west and east seem swapped"
            )
        return cls(west, south, east, north)._sized(f"--box {_numbers(box)}")

    @classmethod
    def of_point(cls, point: Sequence[float | int], radius_km: float | int) -> Area:
        """The square of `radius_km` on all four sides of (longitude, latitude).

        Raises:
            OptionError: a point that is not on Earth, or a square around a pole.
        """
        longitude, latitude = (float(value) for value in point)
        told = f"--point {_numbers(point)}"
        if not (math.isfinite(longitude) and math.isfinite(latitude)):
            raise OptionError(f"{told} holds no numbers: give longitude latitude, in degrees")
        if abs(latitude) > 90:
            raise OptionError(
                f"{told} has a latitude of {latitude:g}, and there is none above 90: longitude comes first. Did you "
                f"mean --point {latitude:g} {longitude:g}?"
            )
        _check_longitudes((longitude,), told)
        if not 0 < radius_km <= LARGEST_KM:
            raise OptionError(f"--radius-km is {radius_km:g}: give more than 0 and at most {LARGEST_KM:g}")
        east_m, north_m = metres_per_degree(math.radians(latitude))
        dy = radius_km * 1000 / north_m
        dx = radius_km * 1000 / east_m if east_m > 1 else math.inf
        if abs(latitude) + dy >= 90 or dx >= 90:
            raise OptionError(f"{told} lies within {radius_km:g} km of a pole, where no box of degrees fits around it")
        longitude = _wrapped(longitude)
        west = _wrapped(longitude - dx)
        return cls(west, latitude - dy, west + 2 * dx, latitude + dy)._sized(told)

    @property
    def crosses(self) -> bool:
        """True where it crosses the antimeridian."""
        return self.east > 180

    @property
    def boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """(west, south, east, north) within -180 to 180, as a catalogue is asked: two across the antimeridian."""
        if not self.crosses:
            return ((self.west, self.south, self.east, self.north),)
        return (self.west, self.south, 180.0, self.north), (-180.0, self.south, self.east - 360, self.north)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """What `of_box` takes; east is below west across the antimeridian."""
        return self.west, self.south, self.east - 360 * self.crosses, self.north

    def outline(self) -> tuple[list[float], list[float]]:
        """Longitudes and latitudes around the box, continuous also across the antimeridian."""
        steps = [k / (EDGE_POINTS - 1) for k in range(EDGE_POINTS)]
        along = [self.west + s * (self.east - self.west) for s in steps]
        up = [self.south + s * (self.north - self.south) for s in steps]
        n = EDGE_POINTS
        longitudes = along + along + [self.west] * n + [self.east] * n
        return longitudes, [self.south] * n + [self.north] * n + up + up

    def cover(self, geometries: Iterable[dict[str, Any]]) -> float:
        """Part of the box that lies in all of these GeoJSON polygons, 0 to 1.

        Raises:
            OptionError: shapely is not installed.
        """
        shared = self._polygon
        for geometry in geometries:
            shared = shared.intersection(self._unwrapped(geometry))
        return float(shared.area / self._polygon.area)

    @cached_property
    def _polygon(self) -> BaseGeometry:
        return _shapely().box(self.west, self.south, self.east, self.north)

    def _unwrapped(self, geometry: dict[str, Any]) -> BaseGeometry:
        """A footprint with longitudes near the box's own: those cut at the antimeridian grow together again."""
        shapely = _shapely()
        middle = (self.west + self.east) / 2

        def near(xy: Any) -> Any:
            xy = xy.copy()
            xy[:, 0] = (xy[:, 0] - middle + 180) % 360 - 180 + middle
            return xy

        return shapely.make_valid(shapely.transform(shapely.from_geojson(_text(geometry)), near))

    def _sized(self, told: str) -> Area:
        """This box, where it is small enough to be one place."""
        east_m, north_m = metres_per_degree(math.radians((self.south + self.north) / 2))
        km = max((self.east - self.west) * east_m, (self.north - self.south) * north_m) / 1000
        if km > 2 * LARGEST_KM:
            raise OptionError(f"{told} is {km:.0f} km wide or high: give the place of the event, a few tens of km")
        return self

    @property
    def place(self) -> str:
        """Its middle, for people.

        >>> Area(-118.0, 35.0, -117.0, 36.0).place
        '35.50 N 117.50 W'
        """
        latitude, longitude = (self.south + self.north) / 2, _wrapped((self.west + self.east) / 2)
        return f"{abs(latitude):.2f} {'NS'[latitude < 0]} {abs(longitude):.2f} {'EW'[longitude < 0]}"

    def __str__(self) -> str:
        west, south, east, north = self.bounds
        return f"{west:.6g} {south:.6g} {east:.6g} {north:.6g}"


def _check_longitudes(longitudes: Sequence[float], told: str) -> None:
    for longitude in longitudes:
        if not -180 <= longitude <= 360:
            raise OptionError(f"{told} has a longitude of {longitude:g}: give one from -180 to 180")


def _wrapped(longitude: float) -> float:
    """The same meridian within -180 to 180; 180 itself stays.

    >>> _wrapped(190.0), _wrapped(180.0), _wrapped(-180.0)
    (-170.0, 180.0, -180.0)
    """
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def _numbers(values: Sequence[float | int]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _text(geometry: dict[str, Any]) -> str:
    import json

    return json.dumps(geometry)


def _shapely() -> Any:
    try:
        import shapely
    except ImportError as error:
        raise OptionError(f"searching catalogues needs shapely: {INSTALL}") from error
    return shapely
