"""Measurements of the content code: its error, its activity, and its artist leak."""

import dataclasses
import math
import time

import numpy as np
import tensorflow as tf

from tfstyle.analysis import results
from tfstyle.analysis.results import measured, reference
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
            *map(str, self.list_rows() + self.leak.list_rows()),
            f"KL divergence {sum(self.kl):.1f} nats in {len(self.kl)} dimensions",
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
        leak=_measure_leak(run, dims),
    )
    _log(run, content, start)
    return content


PART = results.Part(
    stage=vae.SPEC.name,
    place="content",
    depends_on=(vae.SPEC.name, *vae.SPEC.needs),
    measure=measure_content,
)


def _measure_leak(run: TrainedRun, dims: list[int]) -> Leak:
    """Train probes on training pictures, and find the artists of test pictures."""
    style_encoder, content_encoder = run.style_encoder, run.content_encoder
    raw_encoder = run.network(vae.SPEC.name, "content_encoder")

    # All codes in one pass: decoding a picture takes longer than encoding it.
    def encode(images: tf.Tensor) -> tf.Tensor:
        styles = style_encoder(images)
        contents = content_encoder(images, styles)
        return tf.concat([styles, contents, raw_encoder(images)[0]], axis=1)

    dataset = run.dataset
    train = collect_codes(encode, input_pipeline.eval_batches(dataset, "train"))
    test = collect_codes(
        encode, input_pipeline.eval_batches(dataset, dataset.test_split)
    )
    style = slice(0, style_encoder.dims)
    content = slice(style.stop, style.stop + content_encoder.dims)

    def probe(kind: str, columns: slice) -> float:
        if dataset.test_split == "train":  # probes know the pictures by heart
            return math.nan
        return probes.probe_accuracy(
            train.codes[:, columns],
            train.artist_ids,
            test.codes[:, columns],
            test.artist_ids,
            kind,
        )

    by_dims = [probe("linear", slice(content.stop, content.stop + d)) for d in dims]
    return Leak(
        linear=probe("linear", content),
        mlp=probe("mlp", content),
        linear_before=by_dims[dims.index(content_encoder.dims)],
        style_linear=probe("linear", style),
        style_mlp=probe("mlp", style),
        chance=probes.majority_accuracy(train.artist_ids, test.artist_ids),
        by_dims=by_dims,
    )


def _log(run: TrainedRun, content: Content, start: float) -> None:
    errors = zip(content.dims, content.errors, strict=True)
    leak = {f"leak/{name}": value for name, value in vars(content.leak).items()}
    del leak["leak/by_dims"]
    values: dict[str, float] = {
        **{f"reconstruction_error_{d}": error for d, error in errors},
        **{f"kl_of_dimension_{d}": content.kl[d - 1] for d in content.dims},
        **leak,
        "mean_picture_error": content.mean_picture_error,
        "kl": float(np.sum(content.kl)),
        "active_units": content.active_units,
    }
    count = run.dataset.num_examples(run.dataset.test_split)
    metrics_log.log_evaluation(run.folder(vae.SPEC.name), values, count, start)
