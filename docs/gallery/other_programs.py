"""The same displacement for five programs: a comparison, or a hand-over, needs one call for each.

Every file is read back and held against the field that it was made from.
"""

import sys

import torch

from terrashift.io.exchange.formats import detect, read_any, write_any

field = read_any(sys.argv[1])
for name, file in (
    ("cosicorr", "cosicorr.tif"),
    ("micmac", "micmac.tif"),
    ("asp", "run-F.tif"),
    ("pair", "pair.tif"),
    ("cf", "field.nc"),
):
    first = write_any(field, f"{sys.argv[2]}/{file}", name, overwrite=True)[0]
    back = read_any(first)
    difference = (back.north - field.north).abs()
    print(f"{name:9} {first.name:18} found as {detect(first):9} off by {difference[~difference.isnan()].max():.1e} m")
    assert torch.equal(back.east.isnan(), field.east.isnan())
