"""What a stage shows of itself while it trains: test numbers and preview pictures."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.examples import FixedPictures, style_by_content_sheet
from tfstyle.core import files
from tfstyle.data import input_pipeline, records
from tfstyle.metrics import prefix
from tfstyle.modeling.networks.codes import collect_codes, decode_codes, encode_pictures
from tfstyle.modeling.objectives.likeness import Likeness
from tfstyle.modeling.objectives.passes import artist_means, content_use, test_split
from tfstyle.modeling.stages.classifier import ClassifierModel
from tfstyle.modeling.stages.gan import ConditionalGAN
from tfstyle.modeling.stages.metric import MetricModel
from tfstyle.modeling.stages.stage import Stage
from tfstyle.modeling.stages.vae import ContentVAE

# Pictures in a preview, and works beside each in the style stages' previews.
PREVIEW_PICTURES = 8
_NEIGHBOURS = 6
# Mean scaled distances between artists, and of works from their own artist, at which
# exp(-t^2) is flat: about 1, or about 0.
COLLAPSED_DISTANCE = 0.1
SATURATED_DISTANCE = 3.0
# Generated pictures that an evaluation compares with real ones, at the most.
MOST_COMPARED = 1000
# Test works that a preview searches, in batches: enough to see, quick at any size.
_PREVIEW_BATCHES = 32


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Test numbers by name, the score of the best weights, and what looks wrong."""

    numbers: dict[str, float]
    score: float | None = None
    warning: str | None = None


class Monitor:
    """Evaluates and previews a stage.

    Args:
        dataset: the records.
        previews: folder for preview pictures; it also keeps the fixed inputs.
        batch_size: of evaluation, global.
        style_dims: dimensions that will be kept, for the best checkpoint; None for
            the recommended number.
        tolerance: see `tfstyle.metrics.prefix.recommended_dims`.
        judge: scaled Lab -> features, of a network that no stage is trained against;
            it measures how far a generator's pictures are from real ones.
    """

    def __init__(
        self,
        dataset: records.Dataset,
        previews: pathlib.Path,
        batch_size: int,
        style_dims: int | None,
        tolerance: float,
        judge: tf.keras.Model | None = None,
    ):
        self._dataset = dataset
        self._previews = previews
        self._batches = input_pipeline.eval_batches(
            dataset, (test_split(dataset),), batch_size
        )
        self._style_dims = style_dims
        self._tolerance = tolerance
        self._judge = judge
        self._likeness: Likeness | None = None
        self._fixed: FixedPictures | None = None

    @property
    def test_count(self) -> int:
        """Pictures that test numbers average."""
        return self._dataset.num_examples(test_split(self._dataset))

    def evaluate(self, model: Stage) -> "Evaluation":
        """Compute test numbers and the score by which the best weights are kept."""
        if isinstance(model, MetricModel) and not model.learns_presumed_styles:
            means = artist_means(model.style_encoder, self._dataset)
            model.presumed_styles.styles.assign(means)
        results = model.evaluate(self._batches, verbose=0, return_dict=True)
        numbers = {
            name: value for name, value in results.items() if name.startswith("test_")
        }
        if isinstance(model, MetricModel | ClassifierModel):
            return self._evaluate_style(model, numbers)
        if isinstance(model, ContentVAE):
            score = None if model.in_kl_warmup else -numbers["test_reconstruction"]
            use = content_use(model.content_encoder, self._batches)
            numbers["active_units"] = int(use.active.sum())
            for d in prefix.curve_dims(model.dims):
                numbers[f"kl_of_dimension_{d}"] = float(use.kl[d - 1])
            return Evaluation(numbers, score)
        if self._judge is not None:
            numbers["frechet_distance"] = self._frechet_distance(model)
        return Evaluation(numbers)

    def preview(self, model: Stage, step: int) -> None:
        """Write preview pictures named by the step."""
        if isinstance(model, ContentVAE):
            sheet = self._reconstructions(model)
        elif isinstance(model, ConditionalGAN):
            sheet = self._style_by_content(model)
        else:
            sheet = self._nearest_works(model)
        grids.write_picture(sheet, self._previews / f"step-{step:07d}.png")

    def _evaluate_style(self, model, numbers):
        found = collect_codes(model.style_encoder, self._batches)
        accuracy = style_accuracy(model, found.codes, found.artist_ids)
        ratio = prefix.variance_ratio(found.codes, found.artist_ids)
        wanted = self._style_dims or prefix.recommended_dims(accuracy, self._tolerance)
        # A classifier may have fewer dimensions than the style space keeps.
        dims = min(wanted, len(accuracy))
        numbers = {
            **numbers,
            f"accuracy_{dims}": float(accuracy[dims - 1]),
            f"variance_ratio_{dims}": float(ratio[dims - 1]),
            "recommended_dims": prefix.recommended_dims(accuracy, self._tolerance),
        }
        for d in prefix.curve_dims(len(accuracy)):
            numbers[f"accuracy_{d}"] = float(accuracy[d - 1])
        if not isinstance(model, MetricModel):
            return Evaluation(numbers, float(accuracy[dims - 1]))
        distances, warning = _style_health(model, found.codes, found.artist_ids)
        numbers.update(distances)
        if model.in_warm_start:
            # A classifier's codes are no style space: neither the best nor unhealthy.
            return Evaluation(numbers)
        return Evaluation(numbers, float(accuracy[dims - 1]), warning)

    def _frechet_distance(self, model) -> float:
        """Compare with real pictures as many as there are to test, with their artists.

        In these artists' mean styles; the random codes are the same every time.
        """
        if self._likeness is None:
            self._likeness = Likeness(self._judge, self._dataset)
            counts = self._dataset.artist_counts(test_split(self._dataset))
            artist_ids = np.repeat(np.arange(len(counts)), counts)
            rows = np.linspace(0, len(artist_ids), MOST_COMPARED, endpoint=False)
            artist_ids = artist_ids[np.unique(rows.astype(int))]
            self._styles = artist_means(model.style_encoder, self._dataset)[artist_ids]
        random = np.random.default_rng(0)
        contents, noises = (
            random.normal(size=[len(self._styles), dims])
            for dims in (model.content_encoder.dims, model.noise_dims)
        )
        pictures = decode_codes(model.average, self._styles, contents, noises)
        return self._likeness.frechet_distance(pictures)

    def _fixed_pictures(self) -> FixedPictures:
        if self._fixed is None:
            path = self._previews / "inputs.npz"
            if path.exists():
                with np.load(path) as arrays:
                    self._fixed = FixedPictures(**arrays)
            else:
                self._fixed = FixedPictures.choose(self._dataset, PREVIEW_PICTURES)
                files.write_npz(path, **dataclasses.asdict(self._fixed))
        return self._fixed

    def _captions(self, artist_ids) -> list[str]:
        return [self._dataset.artist_names[artist] for artist in artist_ids]

    def _nearest_works(self, model):
        """Each fixed picture and the test works nearest to it in style."""
        fixed = self._fixed_pictures()
        pictures = []
        for batch in self._batches.take(_PREVIEW_BATCHES):
            pictures.append(batch["image"].numpy()[batch["mask"].numpy() > 0])
        works = np.concatenate(pictures)
        work_codes = encode_pictures(model.style_encoder, works)
        rows = []
        fixed_codes = encode_pictures(model.style_encoder, fixed.pictures)
        for picture, code in zip(fixed.pictures, fixed_codes, strict=True):
            order = np.argsort(np.square(work_codes - code).sum(axis=1))
            others = [k for k in order if not np.array_equal(works[k], picture)]
            rows.append([picture, *works[others[:_NEIGHBOURS]]])
        columns = ["picture", *(f"nearest {k + 1}" for k in range(_NEIGHBOURS))]
        return grids.picture_grid(
            rows,
            row_captions=self._captions(fixed.artist_ids),
            column_captions=columns[: len(rows[0])],
            title="nearest test works by style code",
            column_breaks=[1],
        )

    def _reconstructions(self, model):
        fixed = self._fixed_pictures()
        styles = encode_pictures(model.style_encoder, fixed.pictures)
        contents = encode_pictures(model.content_encoder, fixed.pictures)
        rows = [fixed.pictures]
        captions = ["picture"]
        for d in (0, 8, 32, model.dims):
            if d <= model.dims:
                kept = contents * (np.arange(model.dims) < d)
                rows.append(decode_codes(model.content_decoder, styles, kept))
                captions.append(f"{d} content dims")
        return grids.picture_grid(
            rows,
            row_captions=captions,
            column_captions=self._captions(fixed.artist_ids),
            title="test pictures from style and the first content dimensions",
            row_breaks=[1],
        )

    def _style_by_content(self, model):
        fixed = self._fixed_pictures()
        styles = encode_pictures(model.style_encoder, fixed.pictures)
        contents = encode_pictures(model.content_encoder, fixed.pictures)
        noises = np.random.default_rng(0).normal(size=(len(styles), model.noise_dims))
        return style_by_content_sheet(
            model.average,
            (fixed.pictures, styles),
            (fixed.pictures, contents),
            noises,
            self._captions(fixed.artist_ids),
            "columns: style of the picture above; rows: content of the one at the left",
        )


def _style_health(
    model: MetricModel, codes: np.ndarray, artist_ids: np.ndarray
) -> tuple[dict[str, float], str | None]:
    """Distances by prefix, and a warning if they show a space that cannot learn."""
    scales = model.presumed_styles.prefix_scales.numpy()
    if model.objective == "triplet":
        scales = np.ones_like(scales)  # it compares distances as they are
    styles = model.presumed_styles.styles.numpy()
    dims = prefix.curve_dims(len(scales))
    same, different = prefix.style_distances(codes, artist_ids, styles, scales, dims)
    numbers: dict[str, float] = {}
    for k, d in enumerate(dims):
        numbers[f"same_distance_{d}"] = float(same[k])
        numbers[f"different_distance_{d}"] = float(different[k])
        numbers[f"prefix_scale_{d}"] = float(scales[d - 1])
    warning = None
    if different[-1] < COLLAPSED_DISTANCE:
        warning = (
            f"the style space has collapsed: artists are {different[-1]:.2g} apart, "
            'where the attraction wins. Begin again with metric.start = "mean_codes", '
            "metric.warm_start_steps, or a lower adam.learning_rate"
        )
    elif (
        model.objective != "triplet"  # whose slope is the same at any distance
        and same[-1] > SATURATED_DISTANCE
        and same[-1] > different[-1] / 2
    ):
        warning = (
            f"works are {same[-1]:.2g} from their own artist's presumed style, where "
            "the repulsion has no slope any more. If this stays so, begin again with "
            'metric.start = "mean_codes", or metric.warm_start_steps'
        )
    return numbers, warning


def style_accuracy(model, codes: np.ndarray, artist_ids: np.ndarray) -> np.ndarray:
    """Accuracy of a metric or classifier stage by each prefix, float64 [D]."""
    if isinstance(model, ClassifierModel):
        logits = model.artist_logits
        return prefix.prefix_logit_accuracy(
            codes, logits.kernel.numpy(), logits.bias.numpy(), artist_ids
        )
    styles = model.presumed_styles.styles.numpy()
    return prefix.prefix_accuracy(codes, artist_ids, styles)
