"""Why a measurement has no value: one bit per reason, each with what to change."""

from __future__ import annotations

from enum import IntFlag


class Reason(IntFlag):
    """Bits of the `reasons` band; 0 where the measurement stands."""

    NODATA = 1
    EDGE = 2
    LOW_SCORE = 4
    NO_TEXTURE = 8
    SEARCH_EDGE = 16
    INCONSISTENT = 32
    FAILED = 64

    @property
    def meaning(self) -> str:
        """What happened, in a few words."""
        return _MEANINGS[self][0]

    @property
    def advice(self) -> str:
        """What a user can change to get a value."""
        return _MEANINGS[self][1]


_MEANINGS = {
    Reason.NODATA: ("too much nodata in the window", "use a smaller window, or a scene with fewer gaps"),
    Reason.EDGE: ("window reaches past the image edge", "use a smaller window, or a larger crop"),
    Reason.LOW_SCORE: ("score below the threshold", "use a larger window, a closer date, or a lower --min-score"),
    Reason.NO_TEXTURE: ("no texture to match (water, snow, saturated)", "use a larger window or another band"),
    Reason.SEARCH_EDGE: ("best match on the edge of the search", "raise --search-px"),
    Reason.INCONSISTENT: ("backward measurement disagrees", "use a larger window, or raise --backward-px"),
    Reason.FAILED: ("its tile could not be computed (see FAILED_TILES)", "mend the cause, and measure again"),
}
