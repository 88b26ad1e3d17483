"""Where suites get ground from: a packed archive, a folder of imagery that is packed once, or made-up landscapes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import InputError
from ..simulate.archive import Archive
from ..simulate.packing import About, PackOptions, pack
from ..simulate.places import ArchivePlaces, MadeUpPlaces, Source
from ..simulate.scenery import pack_scenes

VARIABLE = "TERRASHIFT_IMAGERY"
SCENES = 8
UNKNOWN = About("*", "unknown", "unknown")
BANDS_LEFT_OUT = ("green", "blue", "swir1")


def packed_archive(data: Path) -> Archive:
    """An archive, or a folder of imagery packed for the moment.

    Raises:
        InputError: it cannot be read, or holds no imagery.
    """
    if not data.is_dir():
        return Archive.load(data)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "imagery.tsi"
        pack(data, packed, PackOptions("validation", BANDS_LEFT_OUT, (UNKNOWN,)))
        return Archive.load(packed)


class Ground:
    """Opened when it is first asked for."""

    def __init__(self, archive: Path | None, cache: Path) -> None:
        """Take an archive, else what the environment's folder has under `validation`, else made-up landscapes.

        Args:
            archive: as `terrashift pack` writes it.
            cache: folder that keeps what has to be packed.
        """
        self._path, self._cache = archive, cache
        told = os.environ.get(VARIABLE)
        self._imagery = Path(told) / "validation" if told else None

    @property
    def about(self) -> str:
        """In a few words, for the report."""
        if self._path:
            return f"archive {self._path.name}"
        return "validation places of the imagery" if self._imagery else "made-up landscapes"

    def source(self) -> Source:
        """Places to draw pairs from.

        Raises:
            InputError: the archive cannot be read.
        """
        path = self._packed()
        return ArchivePlaces.open(str(path), None) if path else MadeUpPlaces(None, {})

    def archive(self) -> Archive:
        """The same as an archive, made-up landscapes included.

        Raises:
            InputError: the archive cannot be read.
        """
        path = self._packed()
        if path:
            return Archive.load(path)
        scenes = self._cache / "scenes.tsi"
        if not scenes.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            pack_scenes(SCENES, scenes, "test")
        return Archive.load(scenes)

    def _packed(self) -> Path | None:
        if self._path or not self._imagery:
            return self._path
        if not self._imagery.is_dir():
            raise InputError(f"{VARIABLE} names {self._imagery.parent}, which has no folder `validation`.")
        packed = self._cache / "imagery.tsi"
        if not packed.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            pack(self._imagery, packed, PackOptions("validation", BANDS_LEFT_OUT, (UNKNOWN,)))
        return packed
