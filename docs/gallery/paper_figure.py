"""A figure for a paper: two maps with arrows, and the profile across the fault below them.

The line is drawn across the middle of the field; its profile has the field's own errors, or none where it states none.
"""

import sys

import numpy as np

from terrashift.io.exchange.formats import read_any
from terrashift.plot.publication import Overlay, PlotOptions, draw_figure

field = read_any(sys.argv[1])
grid = field.grid
line = np.array([grid.transform @ (x * grid.width, y * grid.height) for x, y in ((0.1, 0.4), (0.9, 0.6))])
options = PlotOptions(bands=("east", "north"), vectors=True, components="line", width_cm=17)
for kind in ("png", "pdf"):
    draw_figure(field, f"{sys.argv[2]}/figure.{kind}", options, Overlay(profiles=[line]))
print("figure.png, figure.pdf")
