"""The numbers of the content code: what it rebuilds, says, and gives away."""

import time
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.data import records
from tfstyle.metrics import prefix, probes
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs import metrics_log

Numbers = dict[str, Any]


def measure_content(
    folder: runs.StageFolder, dataset: records.Dataset, tolerance: float
) -> Numbers:
    """Measure the vae stage on the test pictures.

    Args:
        folder: of the stage.
        dataset: the records.
        tolerance: see `metrics.recommended_dims_by_error`.

    Returns:
        "content" of evaluation.json.
    """
    began = time.time()
    style_encoder = runs.load_style_encoder(folder.run_dir)
    encoder = runs.load_network(folder, "content_encoder")
    code_encoder = runs.load_content_encoder(folder.run_dir)
    decoder = runs.load_network(folder, "content_decoder")
    statistics = runs.load_statistics(folder)
    kept = statistics.dims
    dims = sorted({*prefix.curve_dims(encoder.get_config()["dims"]), kept})
    errors = passes.reconstruction_errors(
        style_encoder, encoder, decoder, passes.test_batches(dataset), dims
    )
    splits = folder.read()["identity"]["splits"]
    mean_error = passes.mean_picture_error(
        passes.split_batches(dataset, "train"), passes.test_batches(dataset)
    )
    use = passes.content_use(encoder, passes.test_batches(dataset))
    content: Numbers = {
        "dims": dims,
        "errors": errors.tolist(),
        "kept_dims": kept,
        "kept_error": float(errors[dims.index(kept)]),
        "mean_picture_error": mean_error,
        "recommended_dims": prefix.recommended_dims_by_error(
            errors.tolist(), dims, tolerance
        ),
        "unseen": passes.test_split(dataset) not in splits,
        "kl": use.kl.tolist(),
        "active_units": int(use.active.sum()),
        "active_kept": int(use.active[:kept].sum()),
        "normalized": statistics.normalized,
        "deviations": statistics.deviation.tolist(),
        "leak": _measure_leak(style_encoder, encoder, code_encoder, dataset, dims),
    }
    logged = {f"reconstruction_error_{d}": errors[k] for k, d in enumerate(dims)}
    logged |= {f"kl_of_dimension_{d}": use.kl[d - 1] for d in dims}
    logged |= {f"leak/{k}": v for k, v in content["leak"].items() if k != "by_dims"}
    logged |= {"mean_picture_error": mean_error, "kl": use.kl.sum()}
    metrics_log.log_evaluation(
        folder,
        logged | {"active_units": content["active_units"]},
        dataset.num_examples(passes.test_split(dataset)),
        began,
    )
    return content


def content_summary(content: Numbers) -> list[str]:
    """Give the numbers of `measure_content` that matter most as lines of text."""
    share = content["kept_error"] / content["mean_picture_error"]
    kept, leak = content["kept_dims"], content["leak"]
    return [
        f"vae: error {content['kept_error']:.1f} at {kept} content dimensions, "
        f"{share:.1%} of the mean picture's {content['mean_picture_error']:.1f}; "
        f"{content['recommended_dims']} dimensions recommended",
        f"vae: KL {sum(content['kl']):.1f} nats, {content['active_kept']} of the "
        f"{kept} kept dimensions active, {content['active_units']} of all "
        f"{len(content['kl'])}",
        f"vae: {deviations_in_words(content)}",
        "vae: artist told from the content code by a linear probe "
        f"{leak['linear']:.1%}, by an mlp {leak['mlp']:.1%} (chance "
        f"{leak['chance']:.1%}); from the style code {leak['style_linear']:.1%} and "
        f"{leak['style_mlp']:.1%}"
        + (
            f"; linear before style was taken out {leak['linear_before']:.1%}"
            if content["normalized"] == "given_style"
            else ""
        ),
    ]


def deviations_in_words(content: Numbers) -> str:
    """Say how far the generator's contents, N(0, I), are like those of pictures."""
    low, middle, high = np.quantile(content["deviations"], [0, 0.5, 1])
    spread = (
        f"deviations of the kept content dimensions {low:.2g} to {high:.2g}, half of "
        f"them below {middle:.2g}"
    )
    if content["normalized"] == "given_style":
        spread += ", less what the style tells of them"
    if content["normalized"]:
        return f"{spread}; normalized to 1, which the generator draws"
    return f"{spread}; the generator draws contents of deviation 1"


def _measure_leak(style_encoder, encoder, code_encoder, dataset, dims) -> Numbers:
    """Tell the artists of test pictures by probes trained on training pictures.

    From the codes that go on; "by_dims" and "linear_before" from the encoder's own.
    """

    # One pass: decoding a picture takes longer than encoding it.
    def encode(images):
        styles = style_encoder(images)
        codes = [styles, code_encoder(images, styles), encoder(images)[0]]
        return tf.concat(codes, axis=1)

    train = collect_codes(encode, passes.split_batches(dataset, "train"))
    test = collect_codes(encode, passes.test_batches(dataset))
    border = style_encoder.dims
    own = border + code_encoder.dims

    def accuracy(kind: str, first: int, last: int) -> float:
        return probes.probe_accuracy(
            train.codes[:, first:last],
            train.artist_ids,
            test.codes[:, first:last],
            test.artist_ids,
            kind,
        )

    by_dims = [accuracy("linear", own, own + d) for d in dims]
    return {
        "linear": accuracy("linear", border, own),
        "mlp": accuracy("mlp", border, own),
        "linear_before": by_dims[dims.index(code_encoder.dims)],
        "style_linear": accuracy("linear", 0, border),
        "style_mlp": accuracy("mlp", 0, border),
        "chance": probes.majority_accuracy(train.artist_ids, test.artist_ids),
        "by_dims": by_dims,
    }
