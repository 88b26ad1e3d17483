"""Every script of the gallery runs, on a small field."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.io.exchange.formats import write_any

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
SAYS = {
    "notebook": "largest motion along the middle: 2.24 m",
    "other_programs": "found as micmac",
    "paper_figure": "figure.pdf",
    "interactive_page": "median slip 4.00 m",
}
NEEDS = {"notebook": ("xarray",), "other_programs": ("xarray", "h5py"), "interactive_page": ("bokeh",)}


def test_every_script_is_run_here():
    assert {path.stem for path in GALLERY.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_a_script_of_the_gallery_runs(name, tmp_path, monkeypatch, capsys):
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library, reason=f"needs {library}")
    grid = Grid(60, 120, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
    west = (torch.arange(grid.width) < 60).expand(grid.shape)
    east, north = torch.where(west, -1.0, 1.0), torch.where(west, 2.0, -2.0)
    sigma, none = torch.full(grid.shape, 0.1), torch.zeros(grid.shape, dtype=torch.uint8)
    field = DisplacementField(east, north, sigma, sigma, torch.ones(grid.shape), none, grid)
    write_any(field, tmp_path / "field.tif")
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "field.tif"), str(tmp_path)])
    runpy.run_path(str(GALLERY / f"{name}.py"), run_name="__main__")
    assert SAYS[name] in capsys.readouterr().out
