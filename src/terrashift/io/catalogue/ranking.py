"""Which scene before and which after make the best pair: seen from one place, under one sun, clear and complete."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from ..scenes import sun_angle
from .area import Area
from .items import Scene

SUN_DEG, CLOUD_PERCENT, GAP_PERCENT, DAYS = 3.0, 10.0, 5.0, 30.0
"""What counts as one point against a pair, each: degrees between the suns, per cent of cloud (of both scenes together),
per cent of the area that is missing, days between the scenes."""
UNKNOWN_SUN_DEG, UNKNOWN_CLOUD = 15.0, 50.0
SAME_VIEW_DEG = 1.0


class Candidate(NamedTuple):
    """One scene before and one after."""

    before: Scene
    after: Scene
    same_orbit: bool | None
    """True where both were seen from one orbit; None where the catalogue does not tell."""
    same_grid: bool | None
    """True where both are in one CRS; None where the catalogue does not tell."""
    sun_deg: float | None
    """Angle between the directions to the sun; None where unknown."""
    cover: float
    """Part of the area that both scenes show, 0 to 1."""

    @property
    def days(self) -> float:
        """From before to after."""
        return (self.after.date - self.before.date).total_seconds() / 86400

    @property
    def clouds(self) -> tuple[float | None, float | None]:
        """Per cent, before and after."""
        return self.before.cloud, self.after.cloud

    @property
    def points(self) -> float:
        """What speaks against it beside orbit and grid; less is better."""
        sun = UNKNOWN_SUN_DEG if self.sun_deg is None else self.sun_deg
        cloud = sum(UNKNOWN_CLOUD if one is None else one for one in self.clouds)
        gap = 100 * (1 - self.cover)
        return sun / SUN_DEG + cloud / CLOUD_PERCENT + gap / GAP_PERCENT + abs(self.days) / DAYS

    @property
    def order(self) -> tuple[int, int, float, str, str]:
        """Orbit first, since parallax over relief looks like motion; then grids without resampling; then points."""
        rank = {True: 0, None: 1, False: 2}
        return rank[self.same_orbit], rank[self.same_grid], self.points, self.before.id, self.after.id


def rank(area: Area, before: Iterable[Scene], after: Iterable[Scene]) -> list[Candidate]:
    """All pairs of one collection, the best first.

    Of pairs whose frames (tiles) differ, none is kept where there is one of one frame: neighbours repeat each other.
    """
    pairs = [
        _candidate(area, one, other)
        for one in latest(before)
        for other in latest(after)
        if one.collection == other.collection and one.id != other.id
    ]
    alike = [pair for pair in pairs if pair.before.frame == pair.after.frame]
    return sorted(alike or pairs, key=lambda pair: pair.order)


def latest(scenes: Iterable[Scene]) -> list[Scene]:
    """Without earlier processings of a scene that is there again; names of products sort by time of processing."""
    groups: dict[object, list[Scene]] = defaultdict(list)
    for scene in scenes:
        one = scene.collection, scene.platform, scene.frame, scene.date.replace(microsecond=0)
        groups[one if scene.frame else scene.id].append(scene)
    return [max(group, key=lambda scene: (scene.baseline or "", scene.id)) for group in groups.values()]


def _candidate(area: Area, before: Scene, after: Scene) -> Candidate:
    return Candidate(
        before,
        after,
        _same_orbit(before, after),
        None if None in (before.crs, after.crs) else before.crs == after.crs,
        sun_angle(before.sun, after.sun) if before.sun and after.sun else None,
        area.cover((before.geometry, after.geometry)),
    )


def _same_orbit(before: Scene, after: Scene) -> bool | None:
    if before.orbit and after.orbit:
        return before.orbit == after.orbit
    one, other = before.view, after.view
    if one is None or other is None:
        return None
    first, second = (
        (math.radians(view.incidence), math.radians(view.azimuth)) for view in (one, other)
    )  # straight down has no azimuth: compare directions
    cosine = math.cos(first[0]) * math.cos(second[0])
    cosine += math.sin(first[0]) * math.sin(second[0]) * math.cos(first[1] - second[1])
    return math.degrees(math.acos(min(1.0, cosine))) <= SAME_VIEW_DEG
