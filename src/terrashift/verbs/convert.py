"""Turn displacement fields of other programs into ours, and ours into theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import out

CONVERT = """Read a displacement field of any program, and write it for another.

Formats: terrashift, cosicorr, micmac, asp, autorift, itslive, mintpy, pair (east / north rasters), cf (NetCDF),
geojson; kmz and qgis can only be written. The format of the input is found out, and that of the output follows from
the ending of its name (.tif terrashift, .nc cf, .h5 mintpy, .geojson, .kmz, .qml), unless --from and --to say
otherwise."""


def source_arguments() -> list[Argument]:
    """`--from` and what files do not say themselves, for every verb that takes a field."""
    from ..io.exchange.formats import FormatName
    from ..io.exchange.options import ImportOptions

    text = "Who wrote the input. Default: found out."
    return [argument("source", FormatName | None, None, text, name="from"), *settings(ImportOptions)]


def read_source(found: Any) -> Any:
    """The field that the arguments of `source_arguments` and `field` name."""
    from ..io.exchange.formats import read_any
    from ..io.exchange.options import ImportOptions

    return read_any(found.field, found.source, model_of(ImportOptions, found))


def convert(words: Sequence[str]) -> int:
    """`terrashift convert displacement.tif -o displacement.nc`."""
    from ..io.exchange.formats import FormatName, write_any
    from ..io.exchange.options import ExchangeOptions, ImportOptions

    more = [one for one in settings(ExchangeOptions) if one[0] not in ImportOptions.model_fields]
    found = parse(
        words,
        "convert",
        CONVERT,
        [
            positional("field", Path, REQUIRED, "Displacement field of any program.", metavar="FIELD"),
            argument("output", Path, REQUIRED, "Name of the new file.", aliases=["-o"], metavar="FILE"),
            argument("to", FormatName | None, None, "Format to write. Default: by the ending of its name."),
            *source_arguments(),
            *more,
            switch("overwrite", "Replace files of the same names."),
        ],
    )
    options = model_of(ExchangeOptions, found)
    field = read_source(found)
    for path in write_any(field, found.output, found.to, options, found.overwrite):
        out(str(path))
    return 0
