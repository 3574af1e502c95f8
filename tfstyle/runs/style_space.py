"""A run's style space with all who have a place in it: artists trained on and enrolled.

An enrolled artist is known by the mean normalized style code of a few pictures, kept
in RUN_DIR/metric/enrolled.npz. Search, encode and export treat them like the others.
"""

import dataclasses
import hashlib
import pathlib
import zipfile
from typing import Any

import numpy as np

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.metrics import retrieval
from tfstyle.modeling.networks.frozen_codes import NormalizedEncoder
from tfstyle.runs import folder as runs

ENROLLED_FILE = "enrolled.npz"


@dataclasses.dataclass(frozen=True)
class Enrolled:
    """Artists who were added to a style space without training.

    Args:
        names: of N artists.
        means: float32 [N, style], mean codes, normalized.
        counts: int64 [N], pictures that each mean is of.
    """

    names: list[str]
    means: np.ndarray
    counts: np.ndarray

    @property
    def digest(self) -> str:
        """Tells whether an export holds these artists."""
        names = "\n".join(self.names).encode(errors="surrogateescape")
        return hashlib.sha256(names + self.means.tobytes()).hexdigest()

    def without(self, name: str) -> "Enrolled":
        """Give all but one artist."""
        kept = [row for row, other in enumerate(self.names) if other != name]
        return Enrolled(
            [self.names[row] for row in kept], self.means[kept], self.counts[kept]
        )

    def plus(self, name: str, mean: np.ndarray, count: int) -> "Enrolled":
        """Add an artist, in place of an older one of this name."""
        others = self.without(name)
        return Enrolled(
            [*others.names, name],
            np.concatenate([others.means, mean[None]]).astype(np.float32),
            np.append(others.counts, count).astype(np.int64),
        )


def read_enrolled(run_dir: pathlib.Path, tell: bool = False) -> Enrolled:
    """Read who is enrolled in a run.

    Codes of an earlier training mean nothing in the present space: artists enrolled
    then are left out.

    Args:
        run_dir: the run, its metric stage trained.
        tell: say who is left out.

    Raises:
        UserError: if the metric stage is not trained, or the file is damaged.
    """
    folder = runs.StageFolder(run_dir, "metric")
    statistics = runs.load_statistics(folder)
    path = folder.path / ENROLLED_FILE
    nobody = Enrolled(
        [], np.zeros([0, statistics.dims], np.float32), np.zeros([0], np.int64)
    )
    if not path.exists():
        return nobody
    try:
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            if str(arrays["statistics"]) == statistics.digest:
                return Enrolled(names, arrays["means"], arrays["counts"])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise UserError(
            f"{path} is damaged: delete it and enrol its artists again"
        ) from None
    if tell and names:
        print(
            "note: the metric stage was trained on since these artists were enrolled,"
            f" so they are left out until enrolled again: {', '.join(names)}"
        )
    return nobody


def write_enrolled(run_dir: pathlib.Path, enrolled: Enrolled) -> None:
    """Write who is enrolled, for the present weights; the file goes with the last.

    Raises:
        UserError: if the run cannot be written to.
    """
    folder = runs.StageFolder(run_dir, "metric")
    path = folder.path / ENROLLED_FILE
    digest = runs.load_statistics(folder).digest
    try:
        if not enrolled.names:
            path.unlink(missing_ok=True)
            return
        files.write_npz(
            path,
            names=np.array(enrolled.names, str),
            means=enrolled.means,
            counts=enrolled.counts,
            statistics=np.array(digest),
        )
    except OSError as error:
        raise UserError(
            f"enrolled artists are kept in {path}, which cannot be written"
            f" ({error.strerror}): copy the run to where you may write"
        ) from None


def artist_styles(run_dir: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Give everyone in the space: N names, and float32 [N, style], normalized means.

    Artists of the training pictures come first, in the order of their labels.
    """
    folder = runs.StageFolder(run_dir, "metric")
    statistics = runs.load_statistics(folder)
    enrolled = read_enrolled(run_dir, tell=True)
    names = [*folder.read()["dataset"]["artists"], *enrolled.names]
    return names, np.concatenate([statistics.artist_means, enrolled.means])


@dataclasses.dataclass(frozen=True)
class StyleSpace:
    """What it takes to give a picture its place.

    Args:
        encoder: S, pruned and normalized.
        names: of N artists.
        means: float32 [N, style], their styles, normalized.
        deviation: float32 [style], by which codes were divided.
        collection: what run.json says of the pictures: image_size, fit, background.
    """

    encoder: NormalizedEncoder
    names: list[str]
    means: np.ndarray
    deviation: np.ndarray
    collection: dict[str, Any]

    @classmethod
    def load(cls, run_dir: pathlib.Path) -> "StyleSpace":
        """Load the space of a run.

        Raises:
            UserError: if the metric stage is not trained.
        """
        folder = runs.StageFolder(run_dir, "metric")
        statistics = runs.load_statistics(folder)
        names, means = artist_styles(run_dir)
        return cls(
            runs.load_style_encoder(run_dir),
            names,
            means,
            statistics.deviation,
            folder.read()["dataset"],
        )

    def nearest(
        self, codes: np.ndarray, others: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest codes in the metric as learned, before normalization.

        Args:
            codes, others: float [n, style] and [N, style], normalized.
            count: how many to find at most.

        Returns:
            int64 [n, k], indices in `others`, and float64 [n, k], distances, rising.
        """
        return retrieval.nearest(
            codes * self.deviation, others * self.deviation, min(count, len(others))
        )
