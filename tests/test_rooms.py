"""The layout of the package: which room may import which, and how large they are."""

import ast

import pytest

from helpers.commands import ROOT, read_output, run_code

PACKAGE = ROOT / "tfstyle"
# A module imports from its own room and from those above it. Rooms on the same line do
# not import each other.
ORDER = (
    ("core", "data.formats"),
    ("data.pictures", "metrics"),
    ("data.collections", "data.in_graph"),
    ("data.catalogs", "data.conversion", "data.refusals"),
    ("data",),
    ("modeling.networks",),
    ("modeling.objectives",),
    ("modeling.stages",),
    ("runs",),
    ("analysis.results", "analysis.drawing"),
    ("analysis.realism",),
    ("analysis.evaluation",),
    ("analysis.reporting", "training.workers"),
    ("training",),
    ("exploration", "serving"),
    ("commands",),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
COMMANDS = ("train", "evaluate", "figures", "encode", "search", "enrol", "transfer")
COMMANDS += ("generate", "export", "serve")
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
MAX_MODULES = 8  # of a room
# Of a fifth stage, nothing outside its module and the registry needs to know.
STAGES = {"metric", "classifier", "vae", "gan"}


def name_of(path):
    """tfstyle/data/color.py -> data.color; a package's __init__.py -> its name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(source):
    """Return the tfstyle modules that a source imports, as name_of writes them."""
    known = {name_of(path) for path in MODULES}
    imports = set()
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
                imports.add(inner)
    return imports


def stage_comparisons_of(source):
    """Return the lines that compare something with the name of a stage."""
    lines = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        else:
            continue
        for operand in operands:
            elements = getattr(operand, "elts", [operand])  # of ("vae", "gan")
            if any(
                isinstance(element, ast.Constant) and element.value in STAGES
                for element in elements
            ):
                lines.add(operand.lineno)
    return sorted(lines)


def room_of(module):
    """Return the room of a module: modeling.networks.color -> modeling.networks.

    None for a package above the rooms.
    """
    if module in COMMANDS:
        return "commands"
    return next((room for room in RANKS if f"{module}.".startswith(f"{room}.")), None)


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
from tfstyle.data import input_pipeline, records
def later():
    from tfstyle.modeling.stages.stage import Stage
import numpy
"""
    assert imports_of(source) == {
        "runs.folder",
        "core.cli",
        "data.records",
        "data.input_pipeline",
        "modeling.stages.stage",
    }


@pytest.mark.parametrize(
    "importer, imported, allowed",
    [
        ("modeling.stages.gan", "modeling.networks.color", True),
        ("modeling.networks.color", "modeling.stages.gan", False),
        ("modeling.stages.gan", "metrics.prefix", True),
        ("metrics.prefix", "data.records", False),
        ("data.records", "data.collections.sources", True),
        ("data.collections.sources", "data.records", False),
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
    wrong = [module for module in GRAPH[importer] if not is_allowed(importer, module)]
    assert not wrong, f"{importer} must not import {', '.join(sorted(wrong))}"


def test_there_are_no_import_cycles():
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"cycle: {' -> '.join([*open_, name])}"
        if name in done:
            return
        open_.append(name)
        for inner in sorted(GRAPH[name]):
            visit(inner)
        done.add(open_.pop())

    for name in GRAPH:
        visit(name)


def test_the_two_aging_packages_are_imported_by_one_module_each():
    """So that a replacement changes a single file."""
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


def test_the_parser_sees_every_way_to_compare_with_a_stage():
    source = """
if stage == "metric": pass
if "vae" != stage: pass
if stage in ("train", "gan"): pass
if "classifier" not in numbers: pass
if stage == metric.SPEC.name: pass
if split == "train": pass
stages = ("metric", "vae")
match stage:
    case "gan": pass
"""
    assert stage_comparisons_of(source) == [2, 3, 4, 5, 10]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(name_of(path)) != "modeling.stages"],
    ids=name_of,
)
def test_no_module_compares_with_the_name_of_a_stage(path):
    """`stages.spec(name)` and `stages.names()` answer what differs between stages."""
    lines = stage_comparisons_of(path.read_text())
    assert not lines, f"{path}: lines {lines} compare with the name of a stage"


@pytest.mark.parametrize("room", RANKS)
def test_a_room_has_few_modules(room):
    modules = [
        name_of(path)
        for path in MODULES
        if path.name != "__init__.py" and room_of(name_of(path)) == room
    ]
    assert 0 < len(modules) <= (len(COMMANDS) if room == "commands" else MAX_MODULES)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name != "__init__.py"], ids=name_of
)
def test_a_module_has_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "module",
    ["tfstyle", "tfstyle.core.cli"]
    + [
        f"tfstyle.{verb}"
        for verb in ("train", "encode", "search", "enrol", "transfer", "generate")
    ],
)
def test_importing_a_command_does_not_import_tensorflow(module):
    """--help and misuse need not wait for it."""
    code = (
        f"import sys, {module}; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'gin')))"
    )
    read_output(run_code(code, cwd=ROOT))
