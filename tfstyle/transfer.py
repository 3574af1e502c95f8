"""Give pictures another style: the content of one, the style of another.

    python -m tfstyle.transfer --run_dir=runs/default --content=a.png --style=b.png \\
        --output=c.png
    python -m tfstyle.transfer --run_dir=runs/default --style_artist="Artist One" \\
        --output=FOLDER a.png b.jpg
    python -m tfstyle.transfer --run_dir=runs/default --content=a.png \\
        --style_mix="Artist One:0.6,Artist Two:0.4" --output=c.png

Pictures of any kind and size. The style is exactly one of: the mean code of pictures
(--style, several times or a folder), an artist's, trained or enrolled, or a mixture of
artists' with weights of any sum. A single content needs a file as --output, several or
a folder of them need a folder, which gets a .png for each.

--refine_steps=200 first looks for codes that rebuild the content picture better than
the encoder's, in its own style; a better likeness may take less of the new style.
"""

import os
import pathlib

from absl import flags

from tfstyle.core import cli
from tfstyle.data import pictures

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_CONTENT = flags.DEFINE_multi_string(
    "content", [], "A picture, or a folder of them; other arguments are contents too."
)
_STYLE = flags.DEFINE_multi_string(
    "style", [], "A picture, or a folder of them, to take the style of."
)
_STYLE_ARTIST = flags.DEFINE_string(
    "style_artist", None, "An artist to take the style of, trained or enrolled."
)
_STYLE_MIX = flags.DEFINE_string(
    "style_mix", None, "NAME:WEIGHT,NAME:WEIGHT,..: a mixture of artists' styles."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .png, .jpg or .webp to write; a folder for several contents."
)
_SHEET = flags.DEFINE_string(
    "sheet", None, "A .png of contents, results and style side by side, if wanted."
)
_NOISE_SEED = flags.DEFINE_integer(
    "noise_seed", 0, "Of the code that is neither style nor content.", lower_bound=0
)
_REFINE_STEPS = flags.DEFINE_integer(
    "refine_steps", 0, "Steps of refining the codes of the content.", lower_bound=0
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files that are there.")


def main(paths: list[str]) -> None:
    """Transfer, and say what was made and left out."""
    contents = [*_CONTENT.value, *paths]
    output = _checked_output(contents)
    from tfstyle.exploration import encoding, transferring

    results, left_out = transferring.transfer(
        pathlib.Path(_RUN_DIR.value),
        contents,
        transferring.Wanted(_STYLE.value, _STYLE_ARTIST.value, _STYLE_MIX.value),
        output,
        noise_seed=_NOISE_SEED.value,
        refine_steps=_REFINE_STEPS.value,
        sheet=_SHEET.value,
        overwrite=_OVERWRITE.value,
    )
    for line in encoding.left_out_lines(left_out):
        print(line)
    for line in transferring.result_lines(results):
        print(line)
    if _SHEET.value:
        print(f"sheet: {_SHEET.value}")


def _checked_output(contents: list[str]) -> str:
    """Give --output; refuse what cannot work before TensorFlow is loaded."""
    styles = (_STYLE.value or None, _STYLE_ARTIST.value, _STYLE_MIX.value)
    output, suffixes = _OUTPUT.value, tuple(pictures.RESULT_FORMATS)
    if not contents:
        raise cli.UserError("give a picture as --content (see --help)")
    if sum(one is not None for one in styles) != 1:
        raise cli.UserError(
            "give one of --style, --style_artist and --style_mix (see --help)"
        )
    if not output:
        raise cli.UserError("--output is missing (see --help)")
    if len(contents) == 1 and not os.path.isdir(contents[0]):
        cli.check_output(output, *suffixes, overwrite=_OVERWRITE.value)
    elif output.endswith(suffixes) and not os.path.isdir(output):
        raise cli.UserError(
            f"--output must be a folder for several contents, got {output}"
        )
    if _SHEET.value is not None:
        cli.check_output(_SHEET.value, ".png", flag="sheet", overwrite=_OVERWRITE.value)
    return output


if __name__ == "__main__":
    cli.run(main, positional=True)
