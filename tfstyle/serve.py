"""Serve exported models over TF Serving's REST API on this machine.

    python -m tfstyle.serve --export_dir=exports/default

TF Serving itself serves the same folder; this command is for machines without it.
"""

import os
import pathlib
import signal
import socket
from typing import TYPE_CHECKING

from absl import flags

from tfstyle.core import cli

if TYPE_CHECKING:
    from tfstyle.serving.rest import Models

_EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of models in TF Serving's layout, NAME/VERSION/saved_model.pb, as"
    " tfstyle.export writes it.",
)
_PORT = flags.DEFINE_integer(
    "rest_api_port",
    8501,
    "Port to listen on; 0 takes a free one.",
    lower_bound=0,
    upper_bound=65535,
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. The default is reached from this machine only; 0.0.0.0"
    " opens the server to the network, without any access control.",
)


def main() -> None:
    """Load the models and answer requests until interrupted."""
    # Both are how a server is ended, no failure. Uvicorn takes these signals over,
    # finishes the requests under way, then raises them again for this handler.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        # At once: an exception could come out of a lock of the server being started.
        signal.signal(signal_number, lambda *_: os._exit(0))
    if not _EXPORT_DIR.value:
        raise cli.UserError(
            "which models? Give --export_dir=EXPORT_DIR (written by: python -m"
            " tfstyle.export --run_dir=RUN_DIR --export_dir=EXPORT_DIR)"
        )
    # Taken before the models are loaded, so that a port in use is told at once;
    # requests that come meanwhile wait.
    listener = _listen(_HOST.value, _PORT.value)

    # Here because TensorFlow takes seconds: --help need not wait for it.
    import uvicorn

    from tfstyle.serving import rest

    app = rest.make_app(_EXPORT_DIR.value)
    host = f"[{_HOST.value}]" if ":" in _HOST.value else _HOST.value
    url = f"http://{host}:{listener.getsockname()[1]}"
    names = pathlib.Path(_EXPORT_DIR.value, "dimension_names.tsv")
    _print_welcome(url, app.state.models, names)
    config = uvicorn.Config(
        app, log_level="warning", ws="none", timeout_graceful_shutdown=10
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise cli.UserError(
            f"cannot listen on port {port} of {host}: {error.strerror or error};"
            " choose another with --rest_api_port (or --host), or end the program"
            " that has it"
        ) from error


def _print_welcome(url: str, models: "Models", names: pathlib.Path) -> None:
    print(f"TF Serving's REST API at {url} (Ctrl-C ends it)")
    for name, versions in models.items():
        numbers = ", ".join(str(number) for number in versions)
        print(f"  {url}/v1/models/{name}  version {numbers}")
    if names.exists():
        print("Style dimensions (of `style`, from 1):")
        for line in names.read_text(encoding="utf-8").splitlines():
            print("  {} {}".format(*line.split("\t")))
    if "style_transfer" in models:
        print("Example: content.png in the style of style.png, to transferred.png\n")
        print(_transfer_example(url))
        print()
    print("ready", flush=True)


def _transfer_example(url: str) -> str:
    # Pictures go through pipes: as an argument, Linux takes no more than 128 KiB.
    # Line breaks in base64 and how to avoid them differ between systems: tr.
    return f"""\
  {{ printf '{{"instances": [{{"content_bytes": {{"b64": "'
    base64 < content.png | tr -d '\\n'
    printf '"}}, "style_bytes": {{"b64": "'
    base64 < style.png | tr -d '\\n'
    printf '"}}}}]}}'
  }} | curl -sS -d @- {url}/v1/models/style_transfer:predict |
    sed -n 's/.*"b64": *"\\([^"]*\\)".*/\\1/p' | base64 --decode > transferred.png"""


if __name__ == "__main__":
    cli.run(main)
