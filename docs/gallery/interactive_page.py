"""An interactive page with the slip along a fault, made from Python instead of `terrashift report`.

The trace is a line of two points here; `terrashift.io.vectors.read_lines` reads one from a file.
"""

import sys

import numpy as np

from terrashift.analyse.crossings import crossings
from terrashift.io.exchange.formats import read_any
from terrashift.page.html import Extras, write_page

field = read_any(sys.argv[1])
grid = field.grid
trace = [np.array([grid.transform @ (grid.width / 2, y * grid.height) for y in (0.95, 0.05)])]
slip = crossings(field, trace)
write_page(field, f"{sys.argv[2]}/page.html", Extras("gallery", trace, slip))
parallel = [one.parallel for one in slip]
print(f"{len(slip)} sections; median slip {np.median(parallel):.2f} {grid.unit}, right-lateral positive")
