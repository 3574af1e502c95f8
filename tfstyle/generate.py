r"""Generate new pictures from random codes, in random or given styles.

    python -m tfstyle.generate --run_dir=runs/default --output_dir=generated --count=16
    python -m tfstyle.generate --run_dir=runs/default --output_dir=generated \
        --style_mix="Artist One:0.6,Artist Two:0.4"
    python -m tfstyle.generate --run_dir=runs/default --output_dir=generated \
        --interpolate="Artist One,Artist Two"

Writes 00000.png .., sheet.png (the first 64), codes.npz {filenames, style, content,
noise} and, with --interpolate, interpolation.gif: the content of 00000.png, with a
style that passes through those of the artists and returns to the first. The same seed
generates the same pictures. The folder is written whole or not at all.
"""

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import format_count, from_path, show

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_OUTPUT_DIR = cli.define_path("output_dir", None, "Folder to write.")
_COUNT = flags.DEFINE_integer("count", 16, "Number of pictures.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random codes.", lower_bound=0)
_STYLE_ARTIST = flags.DEFINE_string(
    "style_artist", None, "An artist whose style to use, trained or enrolled."
)
_STYLE_MIX = flags.DEFINE_string(
    "style_mix", None, "NAME:WEIGHT,NAME:WEIGHT,..: a mixture of artists' styles."
)
_INTERPOLATE = flags.DEFINE_string(
    "interpolate", None, "NAME,NAME,..: artists whose styles an animation shows."
)
_FRAMES = flags.DEFINE_integer(
    "frames", 24, "Number of pictures in the animation.", lower_bound=2
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace the files of an earlier call in the folder."
)


def main() -> None:
    """Generate pictures."""
    output_dir = _OUTPUT_DIR.value
    if not output_dir:
        raise cli.UserError("--output_dir is missing (see --help)")
    if _STYLE_ARTIST.value is not None and _STYLE_MIX.value is not None:
        raise cli.UserError("pass --style_artist or --style_mix, not both (see --help)")
    if _FRAMES.present and _INTERPOLATE.value is None:
        raise cli.UserError("--frames needs --interpolate (see --help)")
    from tfstyle.exploration import generating
    from tfstyle.runs.trained_run import TrainedRun

    generating.generate(
        TrainedRun(_RUN_DIR.value),
        output_dir,
        _COUNT.value,
        _SEED.value,
        artist=_read_names(_STYLE_ARTIST),
        mix=_read_names(_STYLE_MIX),
        interpolate=_read_names(_INTERPOLATE),
        frames=_FRAMES.value,
        overwrite=_OVERWRITE.value,
    )
    pictures = format_count(_COUNT.value, "picture, its", "pictures, their")
    print(f"{pictures} sheet and codes: {show(output_dir)}")


def _read_names(flag: flags.FlagHolder[str | None]) -> str | None:
    return None if flag.value is None else from_path(flag.value)


if __name__ == "__main__":
    cli.run(main)
