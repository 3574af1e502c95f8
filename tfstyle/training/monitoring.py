"""What a stage shows while it trains: numbers and preview pictures."""

import functools
import logging

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.examples import FixedPictures
from tfstyle.core import files, typed
from tfstyle.core.names import show
from tfstyle.data import input_pipeline, records
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.stages.stage import EvalNumbers, EvalView, Stage
from tfstyle.runs.trained_run import TrainedRun

logger = logging.getLogger(__name__)

# Pictures in a preview.
PREVIEW_PICTURES = 8


class Monitor:
    """Evaluates and previews a stage on validation pictures.

    Records without these are measured on test pictures; nothing is chosen by them then.

    Args:
        run: the run.
        stage: name of the stage, whose folder keeps the previews and their inputs.
        dataset: the records.
        batch_size: of evaluation, global.
    """

    def __init__(
        self, run: TrainedRun, stage: str, dataset: records.Dataset, batch_size: int
    ) -> None:
        self._previews = run.folder(stage).previews
        batches = input_pipeline.eval_batches(
            dataset, dataset.validation_split, batch_size=batch_size
        )
        self._view = EvalView(dataset, batches, Pruning(), lambda: run.judge_encoder)

    @property
    def count(self) -> int:
        """Number of pictures that an evaluation averages."""
        dataset = self._view.dataset
        return dataset.num_examples(dataset.validation_split)

    def evaluate(self, model: Stage) -> EvalNumbers:
        """Compute numbers and the score by which the best weights are kept."""
        return model.measure(self._view)

    def preview(self, model: Stage, step: int) -> None:
        """Write preview pictures named by the step, if the stage has any."""
        fixed = self._fixed_pictures
        names = list(map(show, self._view.dataset.artist_names))
        table = model.preview(
            fixed.pictures, [names[artist] for artist in fixed.artist_ids], self._view
        )
        if table is not None:
            grids.write_picture(
                grids.draw_table(table), self._previews / f"step-{step:07d}.png"
            )

    def _check_fixed(self, fixed: FixedPictures) -> FixedPictures:
        """Raise ValueError unless pictures are of the records' size and artists."""
        size, artists = self._view.dataset.image_size, self._view.dataset.artists
        shape = (None, size, size, 3)
        typed.check_array(fixed.pictures, shape, "u", "pictures")
        typed.check_array(fixed.artist_ids, (len(fixed.pictures),), "i", "artist_ids")
        if not np.isin(fixed.artist_ids, range(len(artists))).all():
            raise ValueError("artist_ids names artists that there are not")
        return fixed

    @functools.cached_property
    def _fixed_pictures(self) -> FixedPictures:
        """The inputs of all previews; they are chosen once and stored."""
        path = self._previews / "inputs.npz"
        try:
            return self._check_fixed(FixedPictures(**files.read_npz(path)))
        except FileNotFoundError:
            pass
        except (ValueError, TypeError):
            logger.warning("warning: %s is corrupt; it is made again", path)
        dataset = self._view.dataset
        pictures = FixedPictures.choose(
            dataset, dataset.validation_split, PREVIEW_PICTURES
        )
        files.write_npz(path, **vars(pictures))
        return pictures
