"""Look at two images before any work: do they line up, is there enough to match, were they tampered with?"""

from __future__ import annotations

from math import nan

from ..core.source import PairSource
from . import verdicts
from .findings import Finding, ImageCheck, ImageFacts, OffsetCheck, PairCheck, render
from .offset import measure_offset
from .sampling import has_data, sample_pair

__all__ = ["Finding", "ImageCheck", "ImageFacts", "OffsetCheck", "PairCheck", "check_pair", "render"]

_NOTHING = OffsetCheck((nan, nan), nan, (nan, nan), nan, nan, 0, 0)


def check_pair(source: PairSource, facts_before: ImageFacts, facts_after: ImageFacts, window_px: int = 32) -> PairCheck:
    """Check a pair through at most 40 windows spread over it, the same ones every time.

    Args:
        source: the pair, on the grid that both images share.
        facts_before: what is known of `before` without its pixels; likewise `facts_after`.
        window_px: side of the window that will be measured with; smaller images are an error.

    Returns:
        Findings in the order of reading, and the numbers behind them. Errors do not raise: see
        `PairCheck.raise_for_errors`.
    """
    facts = facts_before, facts_after
    shares = facts_before.overlap_share, facts_after.overlap_share
    sample = sample_pair(source, *facts)
    offset = _NOTHING
    findings = [
        *verdicts.on_grid(source.grid, window_px),
        *verdicts.on_overlap(shares),
        *verdicts.on_dates(*facts),
        *verdicts.on_sky(*facts),
        *_on_pixels(source, sample),
    ]
    if not any(f.level == "error" for f in findings):
        offset = measure_offset(source)
        findings += verdicts.on_offset(offset, source.grid.unit)
    return PairCheck(
        findings=tuple(findings),
        grid=str(source.grid),
        unit=source.grid.unit,
        overlap_shares=shares,
        before=sample.before,
        after=sample.after,
        valid_share=sample.valid_share,
        texture_share=sample.texture_share,
        same_lines_share=sample.same_lines_share,
        days=verdicts.days_between(facts_before.date, facts_after.date),
        offset=offset,
    )


def _on_pixels(source: PairSource, sample: verdicts.PairSample) -> list[Finding]:
    """Findings from the pixels; the finer ones only where there is something to judge."""
    if sample.valid_share == 0 and not sample.covers and has_data(source):
        return [
            Finding(
                "warning",
                "data",
                "the windows looked at hold no data in both images, though a few other places do",
                "Crop the images to the part with data, and check again.",
            )
        ]
    found = list(verdicts.on_content(sample))
    if any(f.level == "error" for f in found):
        return found
    found += [*verdicts.on_valid(sample), *verdicts.on_texture(sample)]
    images = (("before", sample.before), ("after", sample.after))
    for name, check in images:
        found += [*verdicts.on_fill(name, check), *verdicts.on_saturation(name, check)]
    for name, check in images:
        found += verdicts.on_resampling(name, check)
    return [*found, *verdicts.on_lines(sample)]
