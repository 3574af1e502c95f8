"""Serve exported models over TF Serving's REST API on this machine.

    python -m tfstyle.serve --export_dir=exports/default

This command is for machines without TF Serving, which serves the same folder.
"""

import os
import pathlib
import signal
import socket
from collections.abc import Iterable, Mapping

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import show

_EXPORT_DIR = cli.define_path(
    "export_dir",
    None,
    "Folder of models, NAME/VERSION/saved_model.pb, written by tfstyle.export.",
)
_PORT = flags.DEFINE_integer(
    "rest_api_port",
    8501,
    "Port to listen on; 0 chooses a free port.",
    lower_bound=0,
    upper_bound=65535,
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. The default accepts requests of this machine only. 0.0.0.0"
    " accepts requests of the whole network; there is no access control.",
)
_MAX_BATCH_SIZE = flags.DEFINE_integer(
    "max_batch_size",
    256,
    "Rows of a request (pictures, for example) at most. They are computed 8 at a time.",
    lower_bound=1,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    50_000_000,
    "Pixels of a picture at most. A picture is refused by its header, before it is"
    " decoded, which takes about 50 bytes for each pixel.",
    lower_bound=1,
)
_MAX_CONNECTIONS = flags.DEFINE_integer(
    "max_connections",
    512,
    "Connections at a time. The one that has been idle for longest makes room for"
    " another.",
    lower_bound=1,
)
_IDLE_TIMEOUT = flags.DEFINE_float(
    "idle_timeout",
    30.0,
    "Seconds after which a connection is closed whose client sends no request, or makes"
    " a pause in sending a request or in reading an answer. A whole request or answer"
    " may take ten times as long.",
    lower_bound=0.1,
)
_CORS = flags.DEFINE_bool(
    "rest_api_enable_cors_support",
    False,
    "Let pages of other web sites call the server from a browser (CORS).",
)


def main() -> None:
    """Load the models and answer requests until interrupted."""
    # Both signals are the normal way to stop a server, not a failure. Uvicorn handles
    # them first: it finishes the requests in progress, then raises them again.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        # No exception: it could be raised inside a lock while the server starts.
        signal.signal(signal_number, lambda *_: os._exit(0))
    if not _EXPORT_DIR.value:
        raise cli.UserError(
            "--export_dir=EXPORT_DIR is missing; write one with: python -m"
            " tfstyle.export --run_dir=RUN_DIR --export_dir=EXPORT_DIR"
        )
    from tfstyle.runs.style_space import NAMES_FILE, read_dimension_names

    names = read_dimension_names(pathlib.Path(_EXPORT_DIR.value, NAMES_FILE))
    # Before the models are loaded, so that a port in use is an error at once; requests
    # that arrive while they load wait.
    listener = _listen(_HOST.value, _PORT.value)

    # Imported here: --help need not wait for TensorFlow.
    from tfstyle.serving import connections, rest, servables

    app = rest.make_app(
        _EXPORT_DIR.value,
        max_batch_size=_MAX_BATCH_SIZE.value,
        max_pixels=_MAX_PIXELS.value,
        allow_cors=_CORS.value,
    )
    host = f"[{_HOST.value}]" if ":" in _HOST.value else _HOST.value
    url = f"http://{host}:{listener.getsockname()[1]}"
    _print_welcome(url, servables.list_available(app.state.models), names)
    limits = connections.ConnectionLimits(_MAX_CONNECTIONS.value, _IDLE_TIMEOUT.value)
    connections.run_server(app, listener, limits)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address to the system's own words.
        number = error.errno or 0  # negative for names that cannot be resolved
        reason = os.strerror(number) if number > 0 else error.strerror or error
        raise cli.UserError(
            f"cannot listen on port {port} of {host}: {reason};"
            " choose another with --rest_api_port (or --host), or stop the program"
            " that uses it"
        ) from error


def _print_welcome(
    url: str, models: Mapping[str, Iterable[int]], names: Mapping[int, str]
) -> None:
    print(f"TF Serving's REST API at {url} (stop it with Ctrl-C)")
    for name, versions in models.items():
        numbers = ", ".join(map(str, versions))
        print(f"  {url}/v1/models/{show(name)}  version {numbers}")
    if names:
        print("Names of style dimensions (numbered from 1):")
        for number, name in sorted(names.items()):
            print(f"  {number} {name}")
    if "style_transfer" in models:
        print("Example: write content.png in the style of style.png\n")
        print(_transfer_example(url))
        print()
    print("ready", flush=True)


def _transfer_example(url: str) -> str:
    # Pipes, because Linux limits an argument to 128 KiB; tr, because options of base64
    # against line breaks differ between systems.
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
