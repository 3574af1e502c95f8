"""Encode a whole collection: style codes, content codes, and the nearest artists.

    python -m tfstyle.encode --run_dir=runs/default --input_dir=PICTURES
    python -m tfstyle.encode --run_dir=runs/default --records_dir=records \\
        --output=codes.csv

Pictures of any kind and size, in folders of any depth; those that cannot be used are
skipped, named and counted. Codes are those of later stages: pruned and normalized.
Content codes need a trained vae stage.

    .npz  filenames, artists, splits, nearest_artists, nearest_distances [N], style
          [N, style], content [N, content]
    .csv  filename, artist, split, nearest_artist, nearest_distance, style_1 ..,
          content_1 ..

The split is train, test or holdout of records, and empty for pictures of a folder.
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_INPUT_DIR = flags.DEFINE_string("input_dir", None, "Folder of pictures to encode.")
_RECORDS_DIR = flags.DEFINE_string(
    "records_dir", None, "Records to encode instead, all splits of them."
)
_OUTPUT = flags.DEFINE_string(
    "output", "codes.npz", "File to write, .npz or .csv; replaced if it is there."
)


def main() -> None:
    """Encode, write and say what was left out."""
    input_dir, records_dir = _INPUT_DIR.value, _RECORDS_DIR.value
    output = _OUTPUT.value
    if bool(input_dir) == bool(records_dir):
        raise cli.UserError("give either --input_dir or --records_dir (see --help)")
    cli.check_output(output, ".npz", ".csv")
    from tfstyle.exploration import encoding

    run_dir = pathlib.Path(_RUN_DIR.value)
    left_out: list[encoding.LeftOut] = []
    if records_dir:
        collection = encoding.encode_records(run_dir, records_dir)
    else:
        collection, left_out = encoding.encode_folder(run_dir, str(input_dir))
    collection.write(output)
    for line in encoding.left_out_lines(left_out):
        print(line)
    codes = "style codes" if collection.content is None else "style and content codes"
    print(f"{codes} of {len(collection.filenames)} pictures: {output}")


if __name__ == "__main__":
    cli.run(main)
