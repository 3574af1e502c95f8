"""What the vae stage's test numbers are while it trains."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.likeness import Likeness
from tfstyle.modeling.stages.vae import ContentVAE
from tfstyle.runs import folder as runs
from tfstyle.training.monitoring import Monitor

KL_WARMUP_STEPS = 5


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(2)
    images = tf.zeros([1, 32, 32, 3])
    style_encoder = networks.StyleEncoder((4, 8), (1, 1), dims=3)
    content_encoder = networks.ContentEncoder((4, 8), (1, 1), dims=5)
    decoder = networks.ContentDecoder((4, 8), (1, 1), image_size=32)
    style_encoder(images), content_encoder(images)
    decoder([tf.zeros([1, 3]), tf.zeros([1, 5])])
    made = ContentVAE(
        frozen_codes.NormalizedEncoder(style_encoder, np.zeros(3), np.ones(3)),
        content_encoder,
        decoder,
        kl_warmup_steps=KL_WARMUP_STEPS,
        seed=0,
        accumulation_steps=1,
        settings={},
    )
    made.compile(optimizer=[])
    return made


@pytest.fixture(scope="module")
def monitor(small_records, tmp_path_factory):
    return Monitor(small_records, tmp_path_factory.mktemp("previews"), 8, None, 0.01)


def test_the_vaes_numbers_say_what_each_dimension_holds(model, monitor, small_records):
    numbers = monitor.evaluate(model).numbers

    use = passes.content_use(model.content_encoder, passes.test_batches(small_records))
    assert numbers["test_kl"] == pytest.approx(use.kl.sum(), rel=1e-4)
    assert numbers["active_units"] == use.active.sum()
    own = {name: one for name, one in numbers.items() if "kl_of" in name}
    assert own == {
        f"kl_of_dimension_{d}": pytest.approx(use.kl[d - 1], rel=1e-4)
        for d in (1, 2, 4, 5)
    }


def test_weights_of_the_kl_warm_up_are_not_the_best(model, monitor):
    """Codes that cost nothing rebuild best, and are of no use."""
    scores = []
    for step in (KL_WARMUP_STEPS - 1, KL_WARMUP_STEPS):
        model.step.assign(step)
        found = monitor.evaluate(model)
        scores.append(found.score)

    assert scores == [None, -found.numbers["test_reconstruction"]]


def test_generated_pictures_are_compared_where_there_is_a_judge(
    tiny_run, small_records, tmp_path
):
    """By the features of a network of the run that the generator never meets."""
    judge = runs.load_network(runs.StageFolder(tiny_run, "classifier"), "style_encoder")
    gan = gan_like(tiny_run)
    monitor = Monitor(small_records, tmp_path, 8, None, 0.01, judge)

    distance = monitor._frechet_distance(gan)

    random = np.random.default_rng(0)
    contents = random.normal(size=[12, gan.content_encoder.dims])
    noises = random.normal(size=[12, gan.noise_dims])
    styles = passes.artist_means(gan.style_encoder, small_records)
    pictures = decode_codes(gan.average, np.repeat(styles, 4, axis=0), contents, noises)
    likeness = Likeness(judge, small_records)
    expected = fidelity.frechet_distance(likeness.train, likeness.features(pictures))
    assert distance == pytest.approx(expected, rel=1e-3)
    assert monitor._frechet_distance(gan) == pytest.approx(distance)  # the same codes


def gan_like(run_dir):
    """What of a gan stage the comparison looks at."""
    folder = runs.StageFolder(run_dir, "gan")
    return SimpleNamespace(
        average=runs.load_network(folder, "generator_average"),
        style_encoder=runs.load_style_encoder(run_dir),
        content_encoder=runs.load_content_encoder(run_dir),
        noise_dims=folder.read()["code_dims"][2],
    )
