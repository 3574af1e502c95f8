"""Workers that train one stage together, and how they agree.

All of them compute the same steps, each on its share of every batch; the first one, the
chief, also writes the run. TensorFlow's coordination service, which the chief runs,
passes their messages on and notices within seconds when one of them is lost.
"""

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

# Not public, but the only way to the coordination service.
from tensorflow.python.eager import context

from tfstyle.core.cli import UserError
from tfstyle.data.input_pipeline import Share
from tfstyle.training.workers.cluster import Cluster

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0  # between two looks at signals while waiting
_CONNECTION_SECONDS = 3.0
_PATIENCE_SECONDS = 5.0  # before it is said who is waited for
# A worker is lost after 10 seconds without a sign of life.
_DETECTION_SECONDS = 20.0
# So that the others hear of an error before the chief's service ends with it.
_FAREWELL_SECONDS = 2.0
_REPORT = "tfstyle: "  # before the messages that workers report themselves


class Alone:
    """A process that trains by itself; the interface of `WorkerGroup`."""

    is_chief = True
    share = Share()  # of every batch
    strategy: tf.distribute.Strategy | None = None  # that all workers have in common

    def meet(self, text: str = "") -> str:
        """Wait until all workers have come here; return the chief's text."""
        return text

    def agree_to_stop(self, requested: bool) -> bool:
        """Return whether any worker requests a stop; all call this after each step."""
        return requested

    def take_chiefs(self, values: np.ndarray) -> np.ndarray:
        """Return the chief's values, from which others' may differ by rounding."""
        return values

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Pass batches of this process's share on to its devices."""
        return batches


ALONE = Alone()


class WorkerGroup(Alone):
    """One of several workers that train together; see `join`."""

    def __init__(self, cluster: Cluster, strategy: tf.distribute.Strategy) -> None:
        self._cluster = cluster
        self._meetings = 0
        self._stopping = False
        self._total = tf.function(self._sum)
        self.strategy = strategy
        self.is_chief = cluster.index == 0
        count = len(cluster.addresses)
        self.share = Share(cluster.index, count, strategy.num_replicas_in_sync // count)

    def compare(self, lines: Sequence[str]) -> None:
        """Refuse with a UserError lines that differ between workers."""
        chiefs, *others = self._exchange("\n".join(lines))
        for index, text in enumerate(others, 1):
            if text == chiefs:
                continue
            expected, actual = (set(each.splitlines()) for each in (chiefs, text))
            changes = sorted(expected - actual)[:1], sorted(actual - expected)[:1]
            here, there = (names[0] if names else "without" for names in changes)
            raise UserError(
                f"{self._cluster.describe(index)} was started with other settings or "
                f"records than the chief ({here} -> {there}): start all workers with "
                "the same command"
            )

    def meet(self, text: str = "") -> str:
        return self._exchange(text)[0]

    def agree_to_stop(self, requested: bool) -> bool:
        self._stopping = bool(self._total(tf.constant(float(requested))))
        return self._stopping

    def take_chiefs(self, values: np.ndarray) -> np.ndarray:
        mine = values if self.is_chief else np.zeros_like(values)
        chiefs: np.ndarray = self._total(tf.constant(mine)).numpy()
        return chiefs

    def distribute(self, batches: tf.data.Dataset) -> Any:
        # With an unknown end, TensorFlow would take no batch for full.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        batches = batches.apply(endless)
        assert self.strategy is not None
        return self.strategy.distribute_datasets_from_function(lambda _: batches)

    @contextlib.contextmanager
    def supervise(self) -> Iterator[None]:
        """End together: all when the chief has, or with an error of any worker.

        Raises:
            UserError: if another worker was lost, or ended with an error.
        """
        agreed = False
        try:
            try:
                yield
            except KeyboardInterrupt:
                agreed = self._stopping
                if agreed:
                    self._leave()  # once the chief has its checkpoint
                raise
            self._leave()
        except tf.errors.OpError as error:
            self._explain_loss(error)
        except (Exception, KeyboardInterrupt) as error:
            if not agreed:
                self._report(str(error) or type(error).__name__)
            raise

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        """Add up the values of all workers."""
        assert self.strategy is not None
        return self.strategy.reduce("SUM", tf.identity(value), axis=None)

    def _exchange(self, text: str) -> list[str]:
        """Return the texts of all workers."""
        self._meetings += 1
        name = f"tfstyle/{self._meetings}"
        context.context().set_config_key_value(f"{name}/{self._cluster.index}", text)
        return [self._read(f"{name}/{k}") for k in range(len(self._cluster.addresses))]

    def _read(self, key: str) -> str:
        """Wait for a message, however long, while all workers are alive."""
        milliseconds = int(1000 * _PAUSE_SECONDS)
        while True:
            with contextlib.suppress(tf.errors.DeadlineExceededError):
                text: str = context.context().get_config_key_value(key, milliseconds)
                return text
            if self._find_failures():
                raise tf.errors.UnavailableError(None, None, "a worker has failed")

    def _leave(self) -> None:
        """Wait for the chief, and let the chief wait until all have heard of it."""
        self.meet()
        index = self._cluster.index
        context.context().set_config_key_value(f"tfstyle/left/{index}", "")
        if self.is_chief:
            for k in range(len(self._cluster.addresses)):
                self._read(f"tfstyle/left/{k}")

    def _report(self, problem: str) -> None:
        """Let all other workers end with this problem."""
        with contextlib.suppress(tf.errors.OpError):
            context.context().report_error_to_cluster(
                tf.errors.ABORTED, _REPORT + problem
            )
            time.sleep(_FAREWELL_SECONDS)

    def _explain_loss(self, error: tf.errors.OpError) -> NoReturn:
        """Raise a UserError that names a lost worker; `error` if none was lost."""
        end = time.monotonic() + _DETECTION_SECONDS
        failures: dict[int, str] = {}
        while not failures and time.monotonic() < end:
            failures = self._find_failures()
            time.sleep(0.1)
        if not failures:
            self._report(type(error).__name__)
            raise error
        index = min(failures)
        problem = failures[index].partition(_REPORT)[2]
        event = f"ended: {problem}"
        if not problem:
            event = (
                "was lost; to resume from the last checkpoint, run the same command on "
                "all workers again"
            )
        raise UserError(f"{self._cluster.describe(index)} {event}") from error

    def _find_failures(self) -> dict[int, str]:
        """Return what happened to other workers that failed, by their index."""
        try:
            states = context.context().get_task_states(self._cluster.jobs)
        except tf.errors.OpError as error:  # the chief's service does not answer
            return {} if self.is_chief else {0: error.message}
        return {
            k: state.message
            for k, state in enumerate(states)
            if state is not None and k != self._cluster.index
        }


@contextlib.contextmanager
def join(
    cluster: Cluster,
    make_strategy: Callable[[], tf.distribute.Strategy],
    common: Sequence[str],
) -> Iterator[WorkerGroup]:
    """Wait for all workers, and train together with them.

    TensorFlow must not have computed anything before.

    Args:
        cluster: the workers.
        make_strategy: makes the strategy of TensorFlow that TF_CONFIG describes.
        common: lines that must be the same on all workers, such as their settings.

    Raises:
        UserError: if the workers cannot be connected; and see `WorkerGroup.supervise`.
    """
    _wait_for_others(cluster)
    strategy = _connect(cluster, make_strategy)
    group = WorkerGroup(cluster, strategy)
    chief = "the chief, which writes the run"
    if not group.is_chief:
        chief = f"follows {cluster.describe(0)}, which writes the run and shows it"
    logger.info(
        "%s of %d: %s", cluster.describe(cluster.index), len(cluster.addresses), chief
    )
    with group.supervise():
        group.compare(common)
        group.agree_to_stop(False)  # compiled now, not after the first step
        yield group


def _wait_for_others(cluster: Cluster) -> None:
    """Wait until all other workers were started.

    TensorFlow waits for them too, but would neither say so nor notice signals. What
    answers is this function of the others, or their TensorFlow.
    """
    others = [k for k in range(len(cluster.addresses)) if k != cluster.index]
    missing, shown, start = others, others[:0], time.monotonic()
    port = int(cluster.addresses[cluster.index].rpartition(":")[2])
    try:
        listener = socket.create_server(("", port), backlog=len(cluster.addresses))
    except OSError as error:
        raise UserError(
            f"{cluster.describe(cluster.index)} cannot use its port: {error.strerror}"
        ) from None
    with listener:
        while True:
            missing = [k for k in missing if not _answers(cluster.addresses[k])]
            if not missing:
                return
            if missing != shown and time.monotonic() - start > _PATIENCE_SECONDS:
                names = ", ".join(map(cluster.describe, missing))
                logger.info("waiting for %s", names)
                shown = missing
            time.sleep(_PAUSE_SECONDS)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        ends = (host.strip("[]"), int(port))
        socket.create_connection(ends, _CONNECTION_SECONDS).close()
    except OSError:
        return False
    return True


def _connect(
    cluster: Cluster, make_strategy: Callable[[], tf.distribute.Strategy]
) -> tf.distribute.Strategy:
    """Make the strategy of all workers."""
    # Python would notice no signal while TensorFlow connects the workers, and SIGTERM
    # not even later: TensorFlow takes it for itself.
    stops = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, signal.SIG_DFL) for number in stops]
    try:
        return make_strategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise UserError(
            f"{cluster.describe(cluster.index)} cannot join the others: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    finally:
        for number, handler in zip(stops, handlers, strict=True):
            signal.signal(number, handler)
