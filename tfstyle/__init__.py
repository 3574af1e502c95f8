"""Explorable artistic style: learn a style space, then generate in any style."""

import os

__version__ = "0.1.0"

# TensorFlow reads this when it is first imported: its start-up chatter about
# instruction sets, missing GPUs and plugins registered twice (which it calls errors)
# would bury the lines that users need. Python exceptions are not affected.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
