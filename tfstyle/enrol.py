"""Add an artist to a trained style space by a few pictures.

    python -m tfstyle.enrol --run_dir=runs/default --name="New Artist" a.png b.png
    python -m tfstyle.enrol --run_dir=runs/default --name="New Artist" --remove

Takes pictures, or folders of them. The artist's style is the mean code of the pictures.
Search, encode and newly exported models then include the artist among the nearest
artists. Enrolling a name again replaces it. Nothing is trained.
"""

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import format_count, from_path, show

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_NAME = flags.DEFINE_string("name", None, "The artist's name.")
_REMOVE = flags.DEFINE_bool("remove", False, "Remove the artist.")


def main(paths: list[str]) -> None:
    """Enroll or remove an artist."""
    name = _NAME.value
    if name is None:
        raise cli.UserError("--name is missing (see --help)")
    name = from_path(name)
    if _REMOVE.value and paths:
        raise cli.UserError(f"--remove takes no pictures, got {paths[0]!r}")
    from tfstyle.exploration import enrolling
    from tfstyle.runs.trained_run import TrainedRun

    run = TrainedRun(_RUN_DIR.value)
    if _REMOVE.value:
        enrolling.remove_artist(run, name)
        print(f"{show(name)} removed from {show(str(run.path))}")
        return
    count, replaced = enrolling.enroll_artist(run, name, paths)
    note = f" (replacing an enrollment by {replaced})" if replaced else ""
    print(f"{show(name)} enrolled by {format_count(count, 'picture')}{note}")


if __name__ == "__main__":
    cli.run(main, positional=True)
