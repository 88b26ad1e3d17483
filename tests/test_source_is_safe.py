"""Nothing in the package runs what a file holds: no pickles, no evaluated text, no shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "terrashift"
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "subprocess", "pty"}
ALLOWED_IMPORTS = {
    ("train/checkpoint.py", "pickle", "UnpicklingError"),  # what `torch.load(weights_only=True)` raises
    ("batch/children.py", "subprocess", ""),  # the package's own command, each word by itself, paths made absolute
}
"""Names that single modules may take from those. Processes of this package send each other pickles through
`multiprocessing`, which never come from a file."""
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile", "os.system", "os.popen", "yaml.load"}
FORBIDDEN_CALLS |= {"yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "pd.read_pickle", "pandas.read_pickle"}
REQUIRED = {"torch.load": ("weights_only", True)}
FORBIDDEN_ARGUMENTS = {("allow_pickle", True), ("shell", True), ("weights_only", False)}


def faults(source: str, name: str) -> Iterator[str]:
    """What a module does and may not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in FORBIDDEN_MODULES and (name, alias.name, "") not in ALLOWED_IMPORTS:
                    yield f"{name}: import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            for alias in node.names:
                if (name, node.module, alias.name) not in ALLOWED_IMPORTS:
                    yield f"{name}: from {node.module} import {alias.name}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {
                one.arg: ast.literal_eval(one.value) for one in node.keywords if isinstance(one.value, ast.Constant)
            }
            if called in FORBIDDEN_CALLS:
                yield f"{name}: {called}()"
            if called in REQUIRED and given.get(REQUIRED[called][0]) is not REQUIRED[called][1]:
                yield f"{name}: {called}() without {REQUIRED[called][0]}={REQUIRED[called][1]}"
            for argument, value in FORBIDDEN_ARGUMENTS & set(given.items()):
                yield f"{name}: {called}({argument}={value})"


def test_no_module_runs_what_a_file_holds():
    found = [
        fault
        for path in sorted(SOURCE.rglob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from pickle import loads",
        "import subprocess",
        "import torch\ntorch.load('x')",
        "torch.load('x', weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "eval('1')",
        "os.system('ls')",
        "run(['ls'], shell=True)",
    ],
)
def test_a_planted_fault_is_found(planted):
    assert list(faults(planted, "train/other.py"))


@pytest.mark.parametrize(
    "harmless", ["net.eval()", "torch.load('x', weights_only=True)", "np.load('x')", "re.compile('x')"]
)
def test_what_is_harmless_passes(harmless):
    assert list(faults(harmless, "train/other.py")) == []
