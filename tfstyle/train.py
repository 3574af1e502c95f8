"""Train one stage of a run: the style space, its reference, the VAE or the GAN.

    python -m tfstyle.train --gin_file=gin/metric.gin --records_dir=records
    python -m tfstyle.train --gin_file=gin/classifier.gin
    python -m tfstyle.train --gin_file=gin/vae.gin
    python -m tfstyle.train --gin_file=gin/gan.gin

The gin file names the stage, which writes to RUN_DIR/STAGE. vae needs a trained metric
stage in the same run, gan needs both. Run the same command again to resume a stopped
stage from its last checkpoint. Single settings: --gin_param=train.batch_size=8
(repeatable).
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_GIN_FILE = cli.define_paths(
    "gin_file", [], "Configuration of the stage, such as gin/metric.gin; repeatable."
)
_GIN_PARAM = flags.DEFINE_multi_string(
    "gin_param", [], "A setting that overrides the files, such as train.steps=100."
)
_RECORDS_DIR = cli.define_path(
    "records_dir", "records", "Records made by tools/make_tfrecords.py."
)
_RUN_DIR = cli.define_path(
    "run_dir", "runs/default", "Where the run's stages are written."
)
_RESTART = flags.DEFINE_bool(
    "restart", False, "Delete what the stage has trained so far and start over."
)
_INIT_FROM = cli.define_path(
    "init_from", None, "A run whose same stage gives the first weights (fine-tuning)."
)
_ALLOW_UNFINISHED = flags.DEFINE_bool(
    "allow_unfinished", False, "Build on an earlier stage that is still unfinished."
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Build everything, show the plan, write nothing."
)


def main() -> None:
    """Parse the configuration and train."""
    if not _GIN_FILE.value:
        raise cli.UserError(
            "--gin_file is missing: gin/metric.gin, gin/classifier.gin, gin/vae.gin, "
            "gin/gan.gin, or the same in gin/quickstart"
        )
    # TensorFlow takes seconds to import: --help and misuse need not wait for it.
    from tfstyle.core import gin_config
    from tfstyle.training import settings, trainer

    gin_config.parse(_GIN_FILE.value, _GIN_PARAM.value, trainer.list_configurables())
    trainer.train(
        settings.Paths(
            records_dir=_RECORDS_DIR.value,
            run_dir=pathlib.Path(_RUN_DIR.value),
            gin_dir=pathlib.Path(_GIN_FILE.value[-1]).parent,
            restart=_RESTART.value,
            init_from=_INIT_FROM.value,
            allow_unfinished=_ALLOW_UNFINISHED.value,
            dry_run=_DRY_RUN.value,
        ),
        settings.read_settings(),
    )


if __name__ == "__main__":
    cli.run(main)
