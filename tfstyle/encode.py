r"""Encode a collection: style codes, content codes, and the nearest artists.

    python -m tfstyle.encode --run_dir=runs/default --input_dir=PICTURES
    python -m tfstyle.encode --run_dir=runs/default --records_dir=records \
        --output=codes.csv

Encodes pictures of any common format and size, in folders of any depth. Unusable files
are skipped and listed. The codes are those that later stages use: pruned and
normalized. Content codes need a trained vae stage.

    .npz  filenames, artists, splits, nearest_artists, nearest_distances [N], style
          [N, style], content [N, content]
    .csv  filename, artist, split, nearest_artist, nearest_distance, style_1 ..,
          content_1 ..

The split is train, test or holdout for records, and empty for pictures of a folder.
"""

from tfstyle.core import cli
from tfstyle.core.names import format_count, show

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_INPUT_DIR = cli.define_path("input_dir", None, "Folder of pictures to encode.")
_RECORDS_DIR = cli.define_path(
    "records_dir", None, "Records to encode instead, with all their splits."
)
_OUTPUT = cli.define_path(
    "output",
    "codes.npz",
    "The .npz or .csv file to write; an existing one is replaced.",
)


def main() -> None:
    """Encode pictures and write their codes."""
    input_dir, records_dir, output = _INPUT_DIR.value, _RECORDS_DIR.value, _OUTPUT.value
    if bool(input_dir) == bool(records_dir):
        raise cli.UserError("pass either --input_dir or --records_dir (see --help)")
    cli.check_output(output, ".npz", ".csv")
    from tfstyle.exploration import encoding
    from tfstyle.runs.trained_run import TrainedRun

    run = TrainedRun(_RUN_DIR.value)
    if records_dir:
        codes = encoding.encode_records(run, records_dir)
    else:
        codes = encoding.encode_folder(run, str(input_dir))
    codes.write(output)
    kinds = "style codes" if codes.content is None else "style and content codes"
    pictures = format_count(len(codes.filenames), "picture")
    print(f"{kinds} of {pictures}: {show(output)}")


if __name__ == "__main__":
    cli.run(main)
