"""Add an artist to a trained style space, known by a few pictures.

    python -m tfstyle.enrol --run_dir=runs/default --name="New Artist" a.png b.png
    python -m tfstyle.enrol --run_dir=runs/default --name="New Artist" --remove

Pictures, or folders of them. The artist's style is the mean code of the pictures;
search, encode and newly exported models then name them among the nearest artists.
Enrolling a name again replaces it. Nothing is trained.
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_NAME = flags.DEFINE_string("name", None, "The artist's name.")
_REMOVE = flags.DEFINE_bool("remove", False, "Take the artist out again.")


def main(paths: list[str]) -> None:
    """Enrol or remove, and say so."""
    name = _NAME.value
    if name is None:
        raise cli.UserError("--name is missing (see --help)")
    if _REMOVE.value and paths:
        raise cli.UserError(f"--remove takes no pictures, got {paths[0]!r}")
    from tfstyle.exploration import encoding, enrolling

    run_dir = pathlib.Path(_RUN_DIR.value)
    if _REMOVE.value:
        enrolling.remove(run_dir, name)
        print(f"{name} removed from {run_dir}")
        return
    count, replaced, left_out = enrolling.enrol(run_dir, name, paths)
    for line in encoding.left_out_lines(left_out):
        print(line)
    instead = f" (replacing an enrolment by {replaced})" if replaced else ""
    pictures = "picture" if count == 1 else "pictures"
    print(f"{name} enrolled by {count} {pictures}{instead}")


if __name__ == "__main__":
    cli.run(main, positional=True)
