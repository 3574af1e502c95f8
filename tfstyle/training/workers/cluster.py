"""Which processes train together, and which of them this one is: TF_CONFIG.

{"cluster": {"worker": ["node1:12345", "node2:12345"]},
 "task": {"type": "worker", "index": 0}}
"""

import dataclasses
import json
from typing import TypedDict

from tfstyle.core import typed
from tfstyle.core.cli import UserError

VARIABLE = "TF_CONFIG"
# In their order in the group: the first worker is the chief.
_JOBS = ("chief", "worker")


class _Task(TypedDict):
    """This process: its job, and its place in that job's list of addresses."""

    type: str
    index: int


class _Config(TypedDict):
    """The content of TF_CONFIG, as far as it is read."""

    cluster: dict[str, list[str]]
    task: _Task


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, the first of which is the chief, and the place of this one."""

    addresses: tuple[str, ...]  # HOST:PORT
    index: int
    jobs: tuple[tuple[str, int], ...]  # the jobs with their numbers of workers

    def describe(self, index: int) -> str:
        """Return such as "worker 1 (node2:12345)"."""
        return f"worker {index} ({self.addresses[index]})"


def read_cluster(text: str | None) -> Cluster:
    """Read the workers from the value of TF_CONFIG.

    Raises:
        UserError: if it is missing or wrong.
    """
    if not text:
        raise UserError(
            f'train.strategy = "multi_worker" needs {VARIABLE} in the environment, '
            "which lists all workers and says which of them this one is: see "
            "README.md, Several machines"
        )
    try:
        config = typed.convert(_Config, json.loads(text))
    except ValueError as error:
        raise _refuse(text, str(error)) from None
    cluster, task = config["cluster"], config["task"]
    others = cluster.keys() - set(_JOBS)
    if others:
        raise _refuse(text, f"only chief and worker train, not {min(others)}")
    addresses = [address for job in _JOBS for address in cluster.get(job, [])]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise _refuse(text, f"{address!r} is not HOST:PORT")
        if addresses.count(address) > 1:
            raise _refuse(text, f"{address} is listed twice")
    job, number = task["type"], task["index"]
    count = len(cluster.get(job, []))
    if not 0 <= number < count:
        raise _refuse(text, f"there is no {job} {number} in the cluster")
    if len(cluster.get("chief", [])) > 1:
        raise _refuse(text, "there can be only one chief")
    jobs = [(job, len(cluster[job])) for job in _JOBS if cluster.get(job)]
    first = len(cluster.get("chief", [])) if job == "worker" else 0
    return Cluster(tuple(addresses), first + number, tuple(jobs))


def _refuse(text: str, problem: str) -> UserError:
    return UserError(f"{VARIABLE} is wrong ({problem}): got {typed.shorten(text)}")
