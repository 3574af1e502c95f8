"""The house stays as it is built: which room may import which (design, section 2)."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "tfstyle"
ROOMS = ("data", "modeling", "analysis", "serving")
# What every room may use.
FOUNDATION = ("command", "files")
# What people type; nothing imports them. Other modules at the top are what they share.
VERBS = ("train", "evaluate", "figures", "encode", "search", "enrol", "transfer")
VERBS += ("generate", "export", "serve")
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
# Modules that are longer, and how far they may go.
LONGER = {
    "data.records",
    "modeling.layers",
    "serving.json_tensors",
    "serving.rest",
}
MAX_LINES_OF_LONGER = 480


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


def is_allowed(importer, imported):
    """Apply the rules to two modules' names."""
    room, other = importer.partition(".")[0], imported.partition(".")[0]
    if other in FOUNDATION:
        return True
    if room in ROOMS:
        if other in ROOMS:
            return ROOMS.index(other) <= ROOMS.index(room)
        return room == "serving" and other == "runs"
    if room in (*FOUNDATION, ""):
        return False
    # a verb, or what verbs share
    return other not in VERBS


GRAPH = {name_of(path): imports_of(path.read_text()) for path in MODULES}


def test_the_parser_sees_every_way_to_import():
    source = """
import tfstyle.runs
from tfstyle import command
from tfstyle.data import color, records
def later():
    from tfstyle.modeling.stage import Stage
import numpy
"""
    assert imports_of(source) == {
        "runs",
        "command",
        "data.color",
        "data.records",
        "modeling.stage",
    }


@pytest.mark.parametrize(
    "importer, imported, allowed",
    [
        ("modeling.stage", "data.color", True),
        ("data.color", "modeling.stage", False),
        ("modeling.gan", "analysis.metrics", False),
        ("analysis.monitoring", "modeling.gan", True),
        ("analysis.report", "runs", False),
        ("serving.exporting", "runs", True),
        ("serving.exporting", "training", False),
        ("data.records", "command", True),
        ("train", "training", True),
        ("train", "evaluate", False),
        ("runs", "train", False),
        ("analysis.sheets", "files", True),
        ("command", "runs", False),
        ("files", "runs", False),
    ],
)
def test_the_rules_are_those_of_the_design(importer, imported, allowed):
    assert is_allowed(importer, imported) == allowed


def test_modules_are_found():
    assert {"runs", "training", "data.color", "modeling.gan"} <= GRAPH.keys()
    assert {one.partition(".")[0] for one in GRAPH if "." in one} == set(ROOMS)
    assert "data.color" in GRAPH["modeling.stage"]


@pytest.mark.parametrize("importer", sorted(GRAPH))
def test_a_module_imports_only_what_is_above_it(importer):
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
    """tensorflow-io only in data/color.py, tensorflow-addons only in modeling."""
    for path in MODULES:
        source = path.read_text()
        if "import tensorflow_io" in source:
            assert name_of(path) == "data.color"
        if "import tensorflow_addons" in source:
            assert name_of(path).startswith("modeling.")


def test_gin_holds_no_python():
    """A Python file in gin/ would shadow the package gin and break every import."""
    assert (ROOT / "gin").is_dir()
    assert not list((ROOT / "gin").rglob("*.py*"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= (MAX_LINES_OF_LONGER if name_of(path) in LONGER else MAX_LINES)


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "__init__.py"], ids=name_of
)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "module",
    ["tfstyle", "tfstyle.command"]
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
