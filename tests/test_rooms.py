"""The house stays as it is built: which room may import which."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "tfstyle"
# One order for all rooms: a module imports from its own room and from what stands
# before it. Rooms on one line know nothing of each other.
ORDER = (
    ("core",),
    ("data", "metrics"),
    ("modeling.networks",),
    ("modeling.objectives",),
    ("modeling.stages",),
    ("runs",),
    ("analysis.evaluation", "analysis.drawing"),
    ("analysis.reporting",),
    ("training",),
    ("exploration", "serving"),
    ("commands",),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
COMMANDS = ("train", "evaluate", "figures", "encode", "search", "enrol", "transfer")
COMMANDS += ("generate", "export", "serve")
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400


def name_of(path):
    """tfstyle/data/color.py -> data.color; a package's __init__.py -> its name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(source):
    """Give the tfstyle modules that a source imports, as name_of writes them."""
    known = {name_of(path) for path in MODULES}
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, inner = name.partition(".")
            if package != "tfstyle" or not inner:
                continue
            # from tfstyle.data.records import Dataset: the module, not the class
            while inner not in known and "." in inner:
                inner = inner.rpartition(".")[0]
            if inner in known:
                found.add(inner)
    return found


def room_of(module):
    """Return the room of a module: modeling.networks.color -> modeling.networks."""
    if module in COMMANDS:
        return "commands"
    return next(room for room in RANKS if f"{module}.".startswith(f"{room}."))


def is_allowed(importer, imported):
    """Apply the one rule to two modules' names."""
    room, other = room_of(importer), room_of(imported)
    if room == other:
        return room != "commands"
    return RANKS[other] < RANKS[room]


GRAPH = {name_of(path): imports_of(path.read_text()) for path in MODULES}


def test_the_parser_sees_every_way_to_import():
    source = """
import tfstyle.runs.folder
from tfstyle.core import cli
from tfstyle.data import records, splits
def later():
    from tfstyle.modeling.stages.stage import Stage
import numpy
"""
    assert imports_of(source) == {
        "runs.folder",
        "core.cli",
        "data.records",
        "data.splits",
        "modeling.stages.stage",
    }


@pytest.mark.parametrize(
    "importer, imported, allowed",
    [
        ("modeling.stages.gan", "modeling.networks.color", True),
        ("modeling.networks.color", "modeling.stages.gan", False),
        ("modeling.stages.gan", "metrics.prefix", True),
        ("metrics.prefix", "data.records", False),
        ("analysis.reporting.report", "analysis.drawing.grids", True),
        ("analysis.drawing.grids", "analysis.evaluation.run", False),
        ("serving.exporting", "exploration.encoding", False),
        ("serving.exporting", "runs.folder", True),
        ("train", "training.trainer", True),
        ("train", "evaluate", False),
        ("runs.folder", "train", False),
        ("core.cli", "runs.folder", False),
    ],
)
def test_the_rule_is_the_order(importer, imported, allowed):
    assert is_allowed(importer, imported) == allowed


def test_every_module_has_a_room():
    packages = {name for name in GRAPH if (PACKAGE / name.replace(".", "/")).is_dir()}
    assert {room_of(name) for name in GRAPH.keys() - packages} == RANKS.keys()
    assert "modeling.networks.color" in GRAPH["modeling.stages.stage"]


@pytest.mark.parametrize("importer", sorted(GRAPH))
def test_a_module_imports_only_what_comes_before_it(importer):
    wrong = [one for one in GRAPH[importer] if not is_allowed(importer, one)]
    assert not wrong, f"{importer} must not import {', '.join(sorted(wrong))}"


def test_no_modules_import_each_other_in_a_circle():
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"circle: {' -> '.join([*open_, name])}"
        if name in done:
            return
        open_.append(name)
        for inner in sorted(GRAPH[name]):
            visit(inner)
        done.add(open_.pop())

    for name in GRAPH:
        visit(name)


def test_the_two_ageing_packages_are_kept_at_arms_length():
    """Each is imported by one module, so that replacing it is one file's work."""
    for path in MODULES:
        source = path.read_text()
        if "import tensorflow_io" in source:
            assert name_of(path) == "modeling.networks.color"
        if "import tensorflow_addons" in source:
            assert name_of(path) == "modeling.networks.addons"


def test_gin_holds_no_python():
    """A Python file in gin/ would shadow the package gin and break every import."""
    assert (ROOT / "gin").is_dir()
    assert not list((ROOT / "gin").rglob("*.py*"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "__init__.py"], ids=name_of
)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "module",
    ["tfstyle", "tfstyle.core.cli"]
    + [
        f"tfstyle.{verb}"
        for verb in ("train", "encode", "search", "enrol", "transfer", "generate")
    ],
)
def test_importing_the_door_does_not_import_tensorflow(module):
    """--help and misuse need not wait for it."""
    code = (
        f"import sys, {module}; "
        "sys.exit(any(one in sys.modules for one in ('tensorflow', 'keras', 'gin')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)
    assert done.returncode == 0
