"""Every format that a displacement field can be read from or written to, by name and by look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ...core.field import DisplacementField
from ...errors import InputError, OptionError
from ..atomic import atomic_path, check_target, explain, gdal_errors
from ..cog import FORMAT, FORMAT_TAG, blocks_of, read_field, to_tags, write_field
from ..untrusted import LARGEST_VECTORS, Malformed, read_text
from .arrows import MARK, read_geojson, write_geojson, write_kmz
from .bands import Look, look
from .itslive import is_itslive, read_itslive, write_itslive
from .micmac import is_micmac, micmac_targets, read_micmac, write_micmac
from .mintpy import is_mintpy, read_mintpy, write_mintpy
from .netcdf import netcdf_kind, read_cf, variables_of, write_cf
from .options import ExchangeOptions, ImportOptions
from .qgis import write_qml
from .rasters import (
    is_asp,
    is_autorift,
    is_cosicorr,
    is_pair,
    pair_targets,
    read_asp,
    read_autorift,
    read_cosicorr,
    read_pair,
    write_asp,
    write_autorift,
    write_cosicorr,
    write_pair,
)

FormatName = Literal[
    "terrashift", "cosicorr", "micmac", "asp", "autorift", "itslive", "mintpy", "pair", "cf", "geojson", "kmz", "qgis"
]
Reader = Callable[[Path, ImportOptions], DisplacementField]
Writer = Callable[[DisplacementField, Sequence[Path], ExchangeOptions], None]


def _itself(path: Path) -> list[Path]:
    return [path]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    name: FormatName
    title: str
    suffixes: tuple[str, ...]
    """What names of its files may end in; the first is meant where a name ends so and nothing is said."""
    read: Reader | None = None
    write: Writer | None = None
    looks: Callable[[Path, Look], bool] | None = None
    """Whether a raster looks like one."""
    targets: Callable[[Path], list[Path]] = _itself
    """All files that are written."""


TIF = (".tif", ".tiff")
FORMATS = (
    Format("terrashift", "Cloud-Optimised GeoTIFF of `terrashift measure`", TIF),
    Format("cosicorr", "COSI-Corr: East/West, North/South, SNR", TIF, read_cosicorr, write_cosicorr, is_cosicorr),
    Format("micmac", "MicMac: Px1, Px2, Correl", TIF, read_micmac, write_micmac, is_micmac, micmac_targets),
    Format("asp", "Ames Stereo Pipeline: disparity", TIF, read_asp, write_asp, is_asp),
    Format("autorift", "autoRIFT: offset.tif", TIF, read_autorift, write_autorift, is_autorift),
    Format("pair", "two rasters: east and north", TIF, read_pair, write_pair, is_pair, pair_targets),
    Format("itslive", "autoRIFT and ITS_LIVE: velocities as NetCDF", (".nc",), read_itslive, write_itslive),
    Format("mintpy", "MintPy: ifgramStack.h5 of offsets", (".h5",), read_mintpy, write_mintpy),
    Format("cf", "NetCDF by the CF conventions", (".nc",), read_cf, write_cf),
    Format("geojson", "arrows as GeoJSON", (".geojson", ".json"), read_geojson, write_geojson),
    Format("kmz", "arrows for Google Earth", (".kmz",), None, write_kmz),
    Format("qgis", "QGIS style for the GeoTIFF", (".qml",), None, write_qml),
)
BY_NAME = {one.name: one for one in FORMATS}
BY_SUFFIX: dict[str, FormatName] = {
    ".tif": "terrashift",
    ".tiff": "terrashift",
    ".nc": "cf",
    ".h5": "mintpy",
    ".geojson": "geojson",
    ".json": "geojson",
    ".kmz": "kmz",
    ".qml": "qgis",
}
READABLE = tuple(name for name in get_args(FormatName) if name not in ("kmz", "qgis"))


def read_any(
    path: str | Path, source: FormatName | None = None, options: ImportOptions | None = None
) -> DisplacementField:
    """Read a displacement field of ours or of another program.

    Args:
        path: the file; of several that belong together (MicMac, pairs), any.
        source: who wrote it. Default: found out from names, bands and attributes, never guessed from values.
        options: what the file does not say itself.

    Raises:
        InputError: the file is missing, damaged, or not recognised.
        OptionError: a format that cannot be read, or an option that the format needs.
    """
    file, options = Path(path), options or ImportOptions()
    source = source or detect(file)
    if source == "terrashift":
        return read_field(file)
    reader = BY_NAME[source].read
    if reader is None:
        raise OptionError(f"{BY_NAME[source].title} ({source}) can only be written.")
    return reader(file, options)


def detect(path: Path) -> FormatName:
    """Who wrote a file.

    Raises:
        InputError: it does not say, or there is no such file.
    """
    if path.suffix.lower() in (".geojson", ".json") and path.is_file():
        if _is_ours(path):
            return "geojson"
        raise _unknown(path, "it holds no arrows that TerraShift wrote")
    if netcdf_kind(path):
        names = variables_of(path)
        if is_mintpy(names):
            return "mintpy"
        return "itslive" if is_itslive(names) else "cf"
    seen = look(path)
    if seen is None:
        raise _unknown(path, "GDAL does not read it")
    if seen.tags.get(FORMAT_TAG) == FORMAT:
        return "terrashift"
    for one in FORMATS:
        if one.looks and one.looks(path, seen):
            return one.name
    bands = ", ".join(name or "?" for name in seen.names)
    raise _unknown(path, f"{seen.count} band(s): {bands}")


def _is_ours(path: Path) -> bool:
    try:
        return MARK in read_text(path, LARGEST_VECTORS)
    except Malformed as error:
        raise _unknown(path, str(error)) from error


def write_any(
    field: DisplacementField,
    path: str | Path,
    target: FormatName | None = None,
    options: ExchangeOptions | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a field for another program, all of its files or none.

    Args:
        field: what to write.
        path: name of the file; formats of several files put their own endings to it.
        target: format. Default: by the ending of `path`.
        options: how.
        overwrite: replace files of these names.

    Returns:
        The files.

    Raises:
        OptionError: an ending that means nothing or another format, or a field that the format does not hold.
        OutputError: where the files cannot be written; nothing is left behind then.
    """
    file, options = Path(path), options or ExchangeOptions()
    one = BY_NAME[target or _by_suffix(file)]
    if file.suffix.lower() not in one.suffixes:
        raise OptionError(f"{one.title}: call the file {file.with_suffix(one.suffixes[0])} instead of {file}.")
    if one.name == "terrashift":
        write_field(file, field.grid, blocks_of(field), to_tags(field.made_by), overwrite)
        return [file]
    targets = one.targets(file)
    for name in targets:
        check_target(name, overwrite)
    assert one.write is not None
    with ExitStack() as stack:
        parts = [stack.enter_context(atomic_path(name)) for name in targets]
        try:
            one.write(field, parts, options)
        except gdal_errors() as error:
            raise explain(targets[0], error) from error
    return targets


def _by_suffix(path: Path) -> FormatName:
    if path.suffix.lower() not in BY_SUFFIX:
        known = ", ".join(BY_SUFFIX)
        raise OptionError(f"{path} does not say which format is wanted: end it in one of {known}, or give --to.")
    return BY_SUFFIX[path.suffix.lower()]


def _unknown(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is no displacement field that is recognised ({why}). Say whose it is: `terrashift convert {path} "
        f"-o displacement.tif --from NAME`, NAME being one of {', '.join(READABLE)}."
    )
