"""Measurements of the content code: error, activity, and what probes find in it."""

import dataclasses
import math
import time

import numpy as np
import tensorflow as tf

from tfstyle.analysis import results
from tfstyle.analysis.results import measured, reference
from tfstyle.core.names import format_count
from tfstyle.data import input_pipeline
from tfstyle.metrics import prefix, probes
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.networks.frozen_codes import ContentNormalization
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.stages import vae
from tfstyle.runs import metrics_log
from tfstyle.runs.trained_run import TrainedRun

# How evaluation.json names a normalization.
_NORMALIZED: dict[ContentNormalization, bool | str] = {
    ContentNormalization.NONE: False,
    ContentNormalization.STANDARD: True,
    ContentNormalization.GIVEN_STYLE: "given_style",
}
_ALL = slice(None)  # rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leak(results.Result):
    """How well probes recover the artist of test pictures from codes.

    `by_dims` and `linear_before` are of the encoder's raw codes, the others of codes as
    later stages see them.
    """

    linear: float = measured(
        "artist accuracy of a linear probe of the content code",
        ".1%",
        "Content should not reveal who made a picture: how often a linear classifier "
        "that sees the content code alone finds the artist of a test picture.",
    )
    mlp: float = measured(
        "artist accuracy of an MLP probe of the content code",
        ".1%",
        "The same for a network with a hidden layer, which can detect more.",
    )
    linear_before: float = reference("raw code of the encoder", "linear")
    style_linear: float = reference("style code", "linear")
    style_mlp: float = reference("style code", "mlp")
    chance: float = reference("chance", "linear", "mlp")
    by_dims: list[float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownContents(results.Result):
    """How well probes recover what test pictures show, where records tell.

    Args:
        contents: number of different contents of the training pictures.
        pictures: number of test pictures with one of them.
    """

    contents: int
    pictures: int
    linear: float = measured(
        "content accuracy of a linear probe of the content code",
        ".1%",
        "The content code should reveal what a picture shows: how often a linear "
        "classifier that sees the content code alone finds the content of a test "
        "picture.",
    )
    mlp: float = measured(
        "content accuracy of an MLP probe of the content code",
        ".1%",
        "The same for a network with a hidden layer.",
    )
    style_linear: float = reference("style code", "linear")
    style_mlp: float = reference("style code", "mlp")
    chance: float = reference("chance", "linear", "mlp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content(results.Result):
    """What is measured of the vae stage.

    Args:
        dims: numbers of content dimensions.
        errors: reconstruction error by each of dims.
        kept_dims: content dimensions that later stages see.
        recommended_dims: the smallest of dims with nearly the smallest error, on
            validation pictures if there are any.
        unseen: whether the test pictures were not trained on.
        kl: mean KL divergence of each dimension from N(0, 1), in nats.
        normalized: whether later stages see normalized codes; "given_style" if what
            the style predicts was subtracted.
        deviations: of the kept dimensions' codes over the training pictures.
        leak: of the artist.
        known_contents: None unless records say what test pictures show.
    """

    dims: list[int]
    errors: list[float]
    kept_dims: int = reference("kept", "active_kept")
    kept_error: float = measured(
        "VAE reconstruction error of test pictures",
        ".1f",
        "How much a picture changes when it is reconstructed from its style and the "
        "kept content dimensions: squared differences in Lab, each channel scaled to "
        "about -1 to 1, summed over a picture; mean over pictures.",
    )
    mean_picture_error: float = reference("mean picture", "kept_error")
    recommended_dims: int
    unseen: bool
    kl: list[float]
    active_units: int = measured(
        "active content dimensions",
        "d",
        "Dimensions whose code's mean varies by more than "
        f"{passes.ACTIVE_VARIANCE} over pictures; the others are inactive (posterior "
        "collapse).",
    )
    active_kept: int = measured(
        "active content dimensions among those kept",
        "d",
        "Inactive kept dimensions carry no information.",
    )
    normalized: bool | str
    deviations: list[float]
    leak: Leak
    known_contents: KnownContents | None = None

    def list_all_rows(self) -> list[results.Row]:
        """List all measures."""
        rows = self.list_rows() + self.leak.list_rows()
        return rows + (self.known_contents.list_rows() if self.known_contents else [])

    def describe_deviations(self) -> str:
        """Describe how similar contents drawn from N(0, I) are to those of pictures."""
        low, middle, high = np.quantile(self.deviations, [0, 0.5, 1])
        text = (
            f"deviations of the kept content dimensions {low:.2g} to {high:.2g}, "
            f"median {middle:.2g}"
        )
        if self.normalized == _NORMALIZED[ContentNormalization.GIVEN_STYLE]:
            text += ", after subtracting what the style predicts"
        if self.normalized:
            return f"{text}; normalized to 1, as the generator draws them"
        return f"{text}; the generator draws contents with deviation 1"

    def summarize(self) -> list[str]:
        """Format the result as lines of text."""
        lines = [
            f"content dimensions: {self.kept_dims} kept, {self.recommended_dims} "
            "recommended",
            *map(str, self.list_all_rows()),
            f"KL divergence {sum(self.kl):.1f} nats in "
            f"{format_count(len(self.kl), 'dimension')}",
            self.describe_deviations(),
        ]
        return [f"{vae.SPEC.name}: {line}" for line in lines]


def measure_content(run: TrainedRun, options: results.Options) -> Content:
    """Measure the vae stage on the test pictures."""
    start = time.time()
    dataset = run.dataset
    encoder = run.network(vae.SPEC.name, "content_encoder")
    statistics = run.content_statistics
    kept_dims = statistics.dims
    dims = sorted({*prefix.curve_dims(encoder.get_config()["dims"]), kept_dims})
    test = input_pipeline.eval_batches(dataset, dataset.test_split)

    def measure_errors(split: str) -> list[float]:
        return passes.measure_reconstruction_errors(
            run.style_encoder,
            encoder,
            run.network(vae.SPEC.name, "content_decoder"),
            input_pipeline.eval_batches(dataset, split),
            dims,
        ).tolist()

    errors = chosen_by = measure_errors(dataset.test_split)
    if dataset.has_validation:
        chosen_by = measure_errors(dataset.validation_split)
    use = passes.measure_content_use(encoder, test)
    artist_and_content = _Probes(run)
    content = Content(
        dims=dims,
        errors=errors,
        kept_dims=kept_dims,
        kept_error=errors[dims.index(kept_dims)],
        mean_picture_error=float(
            passes.measure_mean_picture_error(
                input_pipeline.eval_batches(dataset, "train"), test
            )
        ),
        recommended_dims=prefix.recommended_dims_by_error(
            chosen_by, dims, options.tolerance
        ),
        unseen=dataset.test_split
        not in run.description(vae.SPEC.name).identity["splits"],
        kl=use.kl.tolist(),
        active_units=int(use.active.sum()),
        active_kept=int(use.active[:kept_dims].sum()),
        normalized=_NORMALIZED[statistics.normalization],
        deviations=statistics.deviation.tolist(),
        leak=artist_and_content.measure_leak(dims),
        known_contents=artist_and_content.measure_known_contents(),
    )
    _log(run, content, start)
    return content


PART = results.Part(
    stage=vae.SPEC.name,
    place="content",
    depends_on=(vae.SPEC.name, *vae.SPEC.needs),
    measure=measure_content,
)


class _Probes:
    """Probes that are trained on codes of training pictures, and tested on others."""

    def __init__(self, run: TrainedRun) -> None:
        style_encoder, content_encoder = run.style_encoder, run.content_encoder
        raw_encoder = run.network(vae.SPEC.name, "content_encoder")

        # All codes in one pass: decoding a picture takes longer than encoding it.
        def encode(images: tf.Tensor) -> tf.Tensor:
            styles = style_encoder(images)
            contents = content_encoder(images, styles)
            return tf.concat([styles, contents, raw_encoder(images)[0]], axis=1)

        self._dataset = dataset = run.dataset
        self._train = collect_codes(
            encode, input_pipeline.eval_batches(dataset, "train")
        )
        self._test = collect_codes(
            encode, input_pipeline.eval_batches(dataset, dataset.test_split)
        )
        self._style = slice(0, style_encoder.dims)
        self._content = slice(self._style.stop, self._style.stop + content_encoder.dims)

    def measure_leak(self, dims: list[int]) -> Leak:
        """Find the artists of test pictures."""
        ids = self._train.artist_ids, self._test.artist_ids
        first = self._content.stop
        by_dims = [self._probe("linear", slice(first, first + d), *ids) for d in dims]
        kept_dims = self._content.stop - self._content.start
        return Leak(
            linear_before=by_dims[dims.index(kept_dims)],
            by_dims=by_dims,
            **self._probe_codes(*ids),
        )

    def measure_known_contents(self) -> KnownContents | None:
        """Find what test pictures show; None where records do not tell."""
        if not self._dataset.contents or self._dataset.test_split == "train":
            return None
        ids = [
            input_pipeline.read_content_labels(self._dataset, split)
            for split in ("train", self._dataset.test_split)
        ]
        # Nobody can find a content without training pictures.
        rows = [ids[0] >= 0, np.isin(ids[1], ids[0]) & (ids[1] >= 0)]
        if not rows[1].any():
            return None
        labels, train_ids = np.unique(ids[0][rows[0]], return_inverse=True)
        test_ids = np.searchsorted(labels, ids[1][rows[1]])
        return KnownContents(
            contents=len(labels),
            pictures=len(test_ids),
            **self._probe_codes(train_ids, test_ids, *rows),
        )

    def _probe_codes(
        self,
        train_ids: np.ndarray,
        test_ids: np.ndarray,
        train_rows: np.ndarray | slice = _ALL,
        test_rows: np.ndarray | slice = _ALL,
    ) -> dict[str, float]:
        """Measure both kinds of probes of the codes that later stages see."""
        arguments = train_ids, test_ids, train_rows, test_rows
        return {
            "linear": self._probe("linear", self._content, *arguments),
            "mlp": self._probe("mlp", self._content, *arguments),
            "style_linear": self._probe("linear", self._style, *arguments),
            "style_mlp": self._probe("mlp", self._style, *arguments),
            "chance": probes.majority_accuracy(train_ids, test_ids),
        }

    def _probe(
        self,
        kind: str,
        columns: slice,
        train_ids: np.ndarray,
        test_ids: np.ndarray,
        train_rows: np.ndarray | slice = _ALL,
        test_rows: np.ndarray | slice = _ALL,
    ) -> float:
        if self._dataset.test_split == "train":  # probes know the pictures by heart
            return math.nan
        return probes.probe_accuracy(
            self._train.codes[train_rows, columns],
            train_ids,
            self._test.codes[test_rows, columns],
            test_ids,
            kind,
        )


def _log(run: TrainedRun, content: Content, start: float) -> None:
    errors = zip(content.dims, content.errors, strict=True)
    leak = {f"leak/{name}": value for name, value in vars(content.leak).items()}
    del leak["leak/by_dims"]
    known = vars(content.known_contents) if content.known_contents else {}
    values: dict[str, float] = {
        **{f"reconstruction_error_{d}": error for d, error in errors},
        **{f"kl_of_dimension_{d}": content.kl[d - 1] for d in content.dims},
        **leak,
        **{f"known_contents/{name}": value for name, value in known.items()},
        "mean_picture_error": content.mean_picture_error,
        "kl": float(np.sum(content.kl)),
        "active_units": content.active_units,
    }
    count = run.dataset.num_examples(run.dataset.test_split)
    metrics_log.log_evaluation(run.folder(vae.SPEC.name), values, count, start)
