"""A QGIS style (.qml) that shows a band of a displacement GeoTIFF in colour-blind-safe colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import torch

from ...core.field import DisplacementField
from .options import ExchangeOptions

STOPS = 33
PERCENTILE = 0.98


def write_qml(field: DisplacementField, paths: Sequence[Path], options: ExchangeOptions) -> None:
    """A style for the file that `io.cog.write_field` writes; QGIS applies it where it is called like the raster.

    East and north are shown from -limit (cold) to limit (warm), sigma from 0 to the limit and score from 0 to 1.
    """
    name = options.style_band
    number = field.BANDS.index(name) + 1
    limit = options.style_limit or (1.0 if name == "score" else _limit(getattr(field, name)))
    low = -limit if name in ("east", "north") else 0.0
    colours = _colours("vik" if low else "batlow")
    unit = "" if name == "score" else f" {field.grid.unit}"
    qgis = ElementTree.Element("qgis", version="3.28.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(qgis, "pipe")
    about = {"type": "singlebandpseudocolor", "band": str(number), "opacity": "1", "alphaBand": "-1"}
    ends = {"classificationMin": f"{low:.9g}", "classificationMax": f"{limit:.9g}"}
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", about | ends)
    shader = ElementTree.SubElement(renderer, "rastershader")
    ramp = {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"}
    ends = {"minimumValue": f"{low:.9g}", "maximumValue": f"{limit:.9g}"}
    ramps = ElementTree.SubElement(shader, "colorrampshader", ends | ramp)
    for k, colour in enumerate(colours):
        value = low + (limit - low) * k / (STOPS - 1)
        ElementTree.SubElement(
            ramps, "item", value=f"{value:.9g}", color=colour, alpha="255", label=f"{value:.3g}{unit}"
        )
    ElementTree.SubElement(pipe, "brightnesscontrast")
    ElementTree.SubElement(pipe, "huesaturation")
    ElementTree.SubElement(pipe, "rasterresampler")
    ElementTree.indent(qgis)
    text = ElementTree.tostring(qgis, encoding="unicode")
    paths[0].write_text(f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n", encoding="utf-8")


def _limit(band: torch.Tensor) -> float:
    known = band[band.isfinite()].abs().double()
    if not len(known):
        return 1.0
    return float(known.sort().values[int(PERCENTILE * (len(known) - 1))]) or 1.0


def _colours(name: str) -> list[str]:
    from cmcrameri import cm
    from matplotlib.colors import to_hex

    shown = getattr(cm, name)
    return [to_hex(shown(k / (STOPS - 1))) for k in range(STOPS)]
