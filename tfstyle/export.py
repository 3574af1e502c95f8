"""Export a run for TF Serving: four SavedModels and the files that configure a server.

    python -m tfstyle.export --run_dir=runs/default --export_dir=exports/default

Writes EXPORT_DIR/{style_encoder,content_encoder,generator,style_transfer}/VERSION, with
models.config, batching.config and warm-up requests. A stage that is not trained yet is
left out with what needs it. Then either of

    python -m tfstyle.serve --export_dir=exports/default
    tensorflow_model_server --rest_api_port=8501 \\
        --model_config_file=exports/default/models.config
"""

import pathlib
import shlex

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", "exports/default", "Where the models are written."
)
_SERVING_DIR = flags.DEFINE_string(
    "serving_dir",
    None,
    "EXPORT_DIR as the server will see it, for models.config: /models in a container,"
    " say. The absolute path of EXPORT_DIR by default.",
)


def main() -> None:
    """Export what is trained."""
    from tfstyle.serving import exporting

    export_dir = pathlib.Path(_EXPORT_DIR.value)
    version, names = exporting.export_run(
        pathlib.Path(_RUN_DIR.value),
        export_dir,
        pathlib.PurePosixPath(_SERVING_DIR.value or export_dir.resolve()),
    )
    print(f"version {version} of {', '.join(names)} in {export_dir}")
    print(
        f"serve it: python -m tfstyle.serve --export_dir={shlex.quote(str(export_dir))}"
    )


if __name__ == "__main__":
    cli.run(main)
