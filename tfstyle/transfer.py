r"""Transfer style: combine the content of a picture with another style.

    python -m tfstyle.transfer --run_dir=runs/default --content=a.png --style=b.png \
        --output=c.png
    python -m tfstyle.transfer --run_dir=runs/default --style_artist="Artist One" \
        --output=FOLDER a.png b.jpg
    python -m tfstyle.transfer --run_dir=runs/default --content=a.png \
        --style_mix="Artist One:0.6,Artist Two:0.4" --output=c.png

Takes pictures of any common format and size. The style is exactly one of: the mean code
of pictures (--style, repeated or a folder), the style of an artist, trained or
enrolled, or a mixture of artists' styles with weights of any sum. For a single content
--output is a file. For several contents, or a folder of them, it is a folder, and each
result is a .png file in it.

--refine_steps=200 first optimizes the codes of the content picture, so that they
reconstruct it better than the encoder's codes in its own style. The better the
reconstruction, the less of the new style the result may show.
"""

import os

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import from_path, show
from tfstyle.data import pictures

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_CONTENT = cli.define_paths(
    "content",
    [],
    "A content picture, or a folder of them; positional arguments are contents too.",
)
_STYLE = cli.define_paths(
    "style", [], "A picture whose style to use, or a folder of them."
)
_STYLE_ARTIST = flags.DEFINE_string(
    "style_artist", None, "An artist whose style to use, trained or enrolled."
)
_STYLE_MIX = flags.DEFINE_string(
    "style_mix", None, "NAME:WEIGHT,NAME:WEIGHT,..: a mixture of artists' styles."
)
_OUTPUT = cli.define_path(
    "output", None, "The .png, .jpg or .webp file to write; a folder if several."
)
_SHEET = cli.define_path(
    "sheet", None, "A .png file to draw contents, results and styles in."
)
_NOISE_SEED = flags.DEFINE_integer(
    "noise_seed", 0, "Seed of the unconditioned code.", lower_bound=0
)
_REFINE_STEPS = flags.DEFINE_integer(
    "refine_steps", 0, "Steps of refining the content's codes.", lower_bound=0
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace existing files.")


def main(paths: list[str]) -> None:
    """Transfer style and list the results."""
    contents = [*_CONTENT.value, *paths]
    output = _check_flags(contents)
    from tfstyle.exploration import transferring
    from tfstyle.runs.trained_run import TrainedRun

    failure = None
    style = transferring.TargetStyle(
        _STYLE.value, _read_names(_STYLE_ARTIST), _read_names(_STYLE_MIX)
    )
    try:
        with transferring.lock_output(contents, output):
            results = transferring.transfer(
                TrainedRun(_RUN_DIR.value),
                contents,
                style,
                output,
                noise_seed=_NOISE_SEED.value,
                refine_steps=_REFINE_STEPS.value,
                sheet=_SHEET.value,
                overwrite=_OVERWRITE.value,
            )
    except transferring.IncompleteTransferError as error:
        results, failure = error.results, error
    for line in transferring.format_results(results):
        print(line)
    if _SHEET.value:
        print(f"sheet: {show(_SHEET.value)}")
    if failure:
        raise failure


def _read_names(flag: flags.FlagHolder[str | None]) -> str | None:
    return None if flag.value is None else from_path(flag.value)


def _check_flags(contents: list[str]) -> str:
    """Refuse flags that cannot work, before TensorFlow is imported; return --output."""
    styles = (_STYLE.value or None, _STYLE_ARTIST.value, _STYLE_MIX.value)
    output, suffixes = _OUTPUT.value, tuple(pictures.RESULT_FORMATS)
    if not contents:
        raise cli.UserError("pass a picture as --content (see --help)")
    if sum(style is not None for style in styles) != 1:
        raise cli.UserError(
            "pass one of --style, --style_artist and --style_mix (see --help)"
        )
    if not output:
        raise cli.UserError("--output is missing (see --help)")
    # Not pathlib, which raises an error for names that are too long.
    if len(contents) == 1 and not os.path.isdir(contents[0]):  # noqa: PTH112
        cli.check_output(output, *suffixes, overwrite=_OVERWRITE.value)
    elif output.endswith(suffixes) and not os.path.isdir(output):  # noqa: PTH112
        raise cli.UserError(
            f"--output must be a folder for several contents, got {show(output)}"
        )
    if _SHEET.value is not None:
        cli.check_output(_SHEET.value, ".png", flag="sheet", overwrite=_OVERWRITE.value)
    return output


if __name__ == "__main__":
    cli.run(main, positional=True)
