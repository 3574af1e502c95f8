"""The requirements of setup.cfg, and those that are pinned."""

import configparser
import re

from packaging.requirements import Requirement

from helpers.commands import ROOT


def list_requirements():
    """Return the requirements of the package and of all its extras."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"]]
    texts += config["options.extras_require"].values()
    lines = "\n".join(texts).splitlines()
    return [Requirement(line) for line in lines if line and line[0] != "#"]


def test_pinned_versions_are_those_that_are_required():
    pinned = (ROOT / "tools/constraints.txt").read_text()
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", pinned, re.MULTILINE))
    checked = [each for each in list_requirements() if each.name in versions]
    assert len(checked) > 15
    for requirement in checked:
        version = versions[requirement.name]
        assert requirement.specifier.contains(version), requirement


def test_packages_that_need_numpy_2_are_refused():
    needing = {"pyarrow": "26.0.1", "opencv-python-headless": "4.12.0.88"}
    found = [each for each in list_requirements() if each.name in needing]
    assert {each.name for each in found} == needing.keys()
    for requirement in found:
        version = needing[requirement.name]
        assert not requirement.specifier.contains(version), requirement
