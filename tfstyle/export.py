r"""Export a run for TF Serving: its models and the configuration of a server.

    python -m tfstyle.export --run_dir=runs/default --export_dir=exports/default

Writes EXPORT_DIR/{style_encoder,content_encoder,generator,style_transfer}/VERSION with
warm-up requests, models.config and batching.config. Models that need an untrained stage
are skipped with a message. Start a server with one of

    python -m tfstyle.serve --export_dir=exports/default
    tensorflow_model_server --rest_api_port=8501 \
        --model_config_file=exports/default/models.config
"""

import pathlib

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import show
from tfstyle.core.paths import quote

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_EXPORT_DIR = cli.define_path(
    "export_dir", "exports/default", "Folder to write the models to."
)
_SERVING_DIR = flags.DEFINE_string(
    "serving_dir",
    None,
    "Path of EXPORT_DIR on the server, for models.config, such as /models in a"
    " container. By default the absolute path of EXPORT_DIR.",
)


def main() -> None:
    """Export what is trained."""
    from tfstyle.runs.trained_run import TrainedRun
    from tfstyle.serving import exporting

    export_dir = pathlib.Path(_EXPORT_DIR.value)
    version, names = exporting.export_run(
        TrainedRun(_RUN_DIR.value),
        export_dir,
        pathlib.PurePosixPath(_SERVING_DIR.value or export_dir.resolve()),
    )
    print(f"version {version} of {', '.join(names)} in {show(str(export_dir))}")
    print(
        f"start a server with: python -m tfstyle.serve --export_dir={quote(export_dir)}"
    )


if __name__ == "__main__":
    cli.run(main)
