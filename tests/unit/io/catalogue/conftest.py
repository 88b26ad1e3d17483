"""A world of scenes for the tests of catalogues: on loopback, past any proxy, impatient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import stac_world as world

from terrashift.io.catalogue.area import Area
from terrashift.io.catalogue.web import Web, WebOptions

QUICK = WebOptions(tries=4, wait_s=0.01, timeout_s=5)


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached without the proxy that the environment may name, and no account of the machine is used."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "TERRASHIFT_TOKEN", "PC_SDK_SUBSCRIPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    for module in ("window", "whole"):  # no lines about progress, however slow the machine
        monkeypatch.setattr(f"terrashift.io.catalogue.{module}.SECONDS_BETWEEN_LINES", 1e9)


@pytest.fixture
def files() -> Iterator[world.FileServer]:
    """An empty server of files."""
    with world.file_server() as server:
        yield server


@pytest.fixture(scope="session")
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """What the scenes before and after hold."""
    return world.picture(1), world.picture(2)


@pytest.fixture(scope="session")
def cogs(tmp_path_factory: pytest.TempPathFactory, pixels: tuple[np.ndarray, np.ndarray]) -> tuple[bytes, bytes]:
    """The same as Cloud-Optimised GeoTIFFs."""
    folder = tmp_path_factory.mktemp("cogs")
    return world.cog(folder, pixels[0]), world.cog(folder, pixels[1])


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, cogs: tuple[bytes, bytes]
) -> Iterator[tuple[str, world.FileServer]]:
    """A STAC API, and the server of its files: `B-best`, `A-best`."""
    pytest.importorskip("rustac")
    pytest.importorskip("pystac_client")
    with world.file_server() as server:
        server.put("/B-best.tif", cogs[0])
        server.put("/A-best.tif", cogs[1])
        with world.stac_api(tmp_path_factory.mktemp("stac"), world.made_up_items(server.address)) as api:
            yield api, server


@pytest.fixture
def said() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def web(said: list[str]) -> Web:
    """Four quick tries."""
    pytest.importorskip("requests")
    return Web(QUICK, say=said.append)


@pytest.fixture
def area() -> Area:
    """A box inside the scenes."""
    return Area.of_box(world.BOX)


@pytest.fixture
def make_cog(tmp_path: Path) -> Callable[..., bytes]:
    """`make_cog(pixels, **profile)`: see `stac_world.cog`."""
    folder = tmp_path / "making"
    folder.mkdir()
    return lambda pixels, **profile: world.cog(folder, pixels, **profile)
