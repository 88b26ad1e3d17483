"""A module imports its own package or a lower line of this table, never the same line, never above."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES = """
__main__
cli
verbs
flags demo dataset faults batch
console arguments
pipeline sharpen evaluate page
presets product report cluster losses
recipe
runner
resources
crew
watch
plot train
analyse
superres restore
register
estimators regularise simulate
io models
ops
core
errors
"""
LEVEL = {name: -level for level, line in enumerate(LINES.split("\n")) for name in line.split()}
LATE = {
    *("matplotlib", "cmcrameri", "rich", "zarr", "tyro", "cutde", "bokeh", "cv2", "skimage"),
    *("xarray", "h5netcdf", "h5py", "pyogrio", "shapely", "playwright", "pandas"),
    *("dask", "distributed", "pystac_client", "pystac", "requests", "urllib3"),
}
"""Slow to import and needed by few: inside the function that needs them only."""
LIGHT = {"__init__", "__main__", "cli", "console", "errors"}
"""What `terrashift --help` imports: standard library only at module level."""

SOURCE = Path(__file__).parent.parent / "src" / "terrashift"


def module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import: not those inside functions, nor those for type checkers."""
    stack: list[ast.stmt] = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        stack.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def imported(node: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(package, top-level part within terrashift or "") of everything that an import statement names."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            yield parts[0], parts[1] if parts[0] == "terrashift" and len(parts) > 1 else ""
    elif isinstance(node, ast.ImportFrom):
        base = list(module[: len(module) - node.level]) if node.level else []
        path = base + (node.module.split(".") if node.module else [])
        names = [alias.name for alias in node.names] if path == ["terrashift"] else [path[1] if len(path) > 1 else ""]
        for name in names:
            yield path[0], name if path[0] == "terrashift" else ""


def violations(source: str, module: tuple[str, ...]) -> list[str]:
    """What a module imports and may not. `module` is its dotted name in parts, `("terrashift", "io", "cog")`."""
    tree = ast.parse(source)
    own = module[1] if len(module) > 1 else "__init__"
    found = []
    for node in ast.walk(tree):
        for package, part in imported(node, module):
            if package != "terrashift" or part in ("", own) or part.startswith("__") or own == "__init__":
                continue
            if part not in LEVEL:
                found.append(f"{'.'.join(module)} imports {part}, which has no line in the table")
            elif LEVEL[part] >= LEVEL.get(own, -100):
                found.append(f"{'.'.join(module)} imports {part}, which is not below {own}")
    for node in module_level(tree):
        for package, part in imported(node, module):
            heavy = package not in sys.stdlib_module_names and (package != "terrashift" or part not in LIGHT)
            if package in LATE or (own in LIGHT and heavy):
                found.append(f"{'.'.join(module)} imports {package} {part} when it is itself imported")
    return found


def modules() -> list[tuple[str, ...]]:
    """Every module of the package; a package's `__init__` counts as a module inside it."""
    return [("terrashift", *path.relative_to(SOURCE).with_suffix("").parts) for path in sorted(SOURCE.rglob("*.py"))]


@pytest.mark.parametrize("module", modules(), ids=".".join)
def test_a_module_imports_only_lower_lines_and_nothing_slow(module):
    text = (SOURCE.joinpath(*module[1:])).with_suffix(".py").read_text()
    assert violations(text, module) == []


def test_every_module_has_a_line_in_the_table():
    unknown = {module[1] for module in modules()} - set(LEVEL) - {"__init__"}
    assert unknown == set()


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ..pipeline import measure", "terrashift.estimators.frequency"),
        ("from ..estimators.base import Search", "terrashift.simulate.pair"),
        ("def f():\n    from ..io import raster", "terrashift.core.grid"),
        ("import terrashift.cli", "terrashift.core.grid"),
        ("from .. import pipeline", "terrashift.core.grid"),
        ("from ..nowhere import x", "terrashift.core.grid"),
        ("import matplotlib.pyplot as plt", "terrashift.plot.maps"),
        ("from rich.console import Console", "terrashift.report"),
        ("if True:\n    import zarr", "terrashift.io.store"),
        ("import torch", "terrashift.cli"),
        ("from .core.grid import Grid", "terrashift.cli"),
    ],
)
def test_a_planted_violation_is_found(source, module):
    assert violations(source, tuple(module.split("."))) != []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ..core.grid import Grid\nfrom .base import Search\nimport torch", "terrashift.estimators.frequency"),
        ("def f():\n    import matplotlib.pyplot as plt", "terrashift.plot.maps"),
        ("from .errors import TerrashiftError\nimport sys", "terrashift.cli"),
        ("def f():\n    from .pipeline import measure", "terrashift.cli"),
        ("from . import cog", "terrashift.io.raster"),
    ],
)
def test_what_the_table_allows_passes(source, module):
    assert violations(source, tuple(module.split("."))) == []
