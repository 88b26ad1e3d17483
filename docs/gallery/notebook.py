"""A field in five lines, as in a notebook: read any program's file, look at it, take a profile, go to xarray.

Shows what a first look needs; every further step works on the same three objects.
"""

import sys

import numpy as np

from terrashift.analyse.section import section
from terrashift.io.exchange.formats import read_any
from terrashift.io.exchange.netcdf import to_xarray
from terrashift.plot.maps import quicklook

field = read_any(sys.argv[1])  # ours, COSI-Corr, MicMac, ASP, ITS_LIVE, ...
quicklook(field, f"{sys.argv[2]}/quicklook.png")
west, east = (field.grid.transform @ (x, field.grid.height / 2) for x in (1, field.grid.width - 1))
cut = section(field, np.array([west, east]))
data = to_xarray(field)

print(f"largest motion along the middle: {np.nanmax(np.hypot(cut.east, cut.north)):.2f} {field.grid.unit}")
print(f"median of east and north: {float(data.east.median()):.3f}, {float(data.north.median()):.3f}")
