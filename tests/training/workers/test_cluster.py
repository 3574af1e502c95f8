"""TF_CONFIG, right and wrong."""

import json

import pytest

from tfstyle.core.cli import UserError
from tfstyle.training.workers.cluster import read_cluster

TWO = {"worker": ["node1:12345", "node2:12345"]}


def write(cluster, job="worker", index=0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


def test_workers_are_numbered_as_listed():
    cluster = read_cluster(write(TWO, index=1))
    assert cluster.index == 1
    assert cluster.describe(0) == "worker 0 (node1:12345)"
    assert cluster.jobs == (("worker", 2),)


def test_a_job_chief_comes_first():
    both = {**TWO, "chief": ["node0:12345"]}
    cluster = read_cluster(write(both, index=1))
    assert cluster.index == 2
    assert cluster.addresses == ("node0:12345", "node1:12345", "node2:12345")
    assert cluster.jobs == (("chief", 1), ("worker", 2))
    assert read_cluster(write(both, "chief")).index == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs TF_CONFIG in the environment"),
        ("", "needs TF_CONFIG in the environment"),
        ("{", "TF_CONFIG is wrong .Expecting"),
        ("[]", "not an object"),
        ("{}", "it has no cluster, task"),
        (write({"worker": "node1:1"}), "cluster.worker"),
        (write(TWO, index="0"), "task.index"),
        (write(TWO, index=2), "there is no worker 2 in the cluster"),
        (write(TWO, index=-1), "there is no worker -1 in the cluster"),
        (write(TWO, "chief"), "there is no chief 0 in the cluster"),
        (write({}), "there is no worker 0 in the cluster"),
        (write({**TWO, "ps": ["node3:1"]}), "only chief and worker train, not ps"),
        (write({"worker": ["node1"]}), "'node1' is not HOST:PORT"),
        (write({"worker": ["node1:70000"]}), "'node1:70000' is not HOST:PORT"),
        (write({"worker": ["a:1", "a:1"]}), "a:1 is listed twice"),
        (write({"chief": ["a:1", "b:1"]}, "chief"), "there can be only one chief"),
    ],
)
def test_a_wrong_tf_config_is_an_error_that_says_what_is_wrong(text, message):
    with pytest.raises(UserError, match=message):
        read_cluster(text)
