"""The content code in the report: its error, its activity, and its artist leak."""

import pathlib

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.curves import write_curves
from tfstyle.analysis.drawing.examples import FixedPictures
from tfstyle.analysis.drawing.page import Section, list_pictures
from tfstyle.analysis.evaluation.content import Content
from tfstyle.analysis.results import tabulate
from tfstyle.core.names import show
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.stages import vae
from tfstyle.runs.trained_run import TrainedRun


def content_section(
    run: TrainedRun, content: Content, folder: pathlib.Path, fixed: FixedPictures
) -> Section:
    """Draw and describe the content code, and reconstructions of fixed pictures."""
    _draw_reconstructions(run, content, folder, fixed)
    _draw_curves(content, folder)
    captions = {
        "vae_reconstructions.png": "Test pictures and their reconstructions.",
        "content_error.png": "The error by the number of content dimensions.",
        "content_kl.png": "KL divergence of each content dimension from N(0, 1), mean "
        "over test pictures. A dimension at 0 is inactive.",
        "content_leak.png": "How often a linear probe finds the artist of a test "
        "picture by the first dimensions of the encoder's raw content code.",
    }
    return Section(
        "The content code",
        _describe(content),
        table=tabulate(content.list_all_rows()),
        pictures=list_pictures(folder, captions),
    )


def _describe(content: Content) -> str:
    unseen = "not trained on" if content.unseen else "seen in training"
    share = content.kept_error / content.mean_picture_error
    return (
        "A variational autoencoder is given the style, so its own code holds the rest. "
        f"Its error on test pictures ({unseen}) with the kept {content.kept_dims} "
        f"dimensions is {share:.0%} of the mean picture's.\n\n"
        f"{content.describe_deviations().capitalize()}."
    )


def _draw_reconstructions(
    run: TrainedRun, content: Content, folder: pathlib.Path, fixed: FixedPictures
) -> None:
    """Draw pictures above their reconstructions from the kept dimensions."""
    encoder = run.network(vae.SPEC.name, "content_encoder")
    decoder = run.network(vae.SPEC.name, "content_decoder")
    codes = encode_pictures(encoder, fixed.pictures)
    codes[:, content.kept_dims :] = 0
    decoded = decode_codes(decoder, run.encode_style(fixed.pictures), codes)
    names = [show(run.dataset.artist_names[artist]) for artist in fixed.artist_ids]
    rows = np.stack([fixed.pictures, decoded])
    sheet = grids.draw_grid(rows, ["picture", "VAE"], names)
    grids.write_picture(sheet, folder / "vae_reconstructions.png")


def _draw_curves(content: Content, folder: pathlib.Path) -> None:
    dims, leak = content.dims, content.leak
    write_curves(
        folder / "content_error.png",
        {
            "VAE": (dims, content.errors),
            "mean picture": (dims, [content.mean_picture_error] * len(dims)),
        },
        xlabel="content dimensions used",
        ylabel="squared error, scaled Lab",
        title="Reconstruction error (less is better)",
        kept_dims=content.kept_dims,
    )
    write_curves(
        folder / "content_kl.png",
        {"each dimension": (range(1, len(content.kl) + 1), content.kl)},
        xlabel="content dimension",
        ylabel="KL divergence, nats",
        title="Information in each content dimension",
        kept_dims=content.kept_dims,
    )
    write_curves(
        folder / "content_leak.png",
        {
            "raw content code, linear probe": (dims, leak.by_dims),
            "style code, linear probe": (dims, [leak.style_linear] * len(dims)),
            "chance": (dims, [leak.chance] * len(dims)),
        },
        xlabel="content dimensions used",
        ylabel="artist accuracy",
        title="Artist information in the content code (less is better)",
        kept_dims=content.kept_dims,
    )
