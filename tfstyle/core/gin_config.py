"""Strict gin parsing: a misspelt name stops the command and is told the nearest."""

import difflib
import inspect
import pathlib
import re
import tokenize
import typing
from collections.abc import Callable, Mapping, Sequence

import gin
from absl import logging

from tfstyle.core.cli import UserError

# A bracket that is never closed is a TokenError.
_GIN_ERRORS = (
    ValueError,
    AttributeError,
    OSError,
    SyntaxError,
    RuntimeError,
    tokenize.TokenError,
)
# What gin says of a word without quotes.
_NO_VALUE = re.compile(
    r"malformed node or string.*?<ast\.\w+ object at \w+> Failed to parse token '(.+?)'"
)
_NO_NUMBERS = (str, tuple, list, dict)
# {(scope, configurable): {parameter: value}}, as gin.finalize() found it.
_finalized: dict[tuple[str, str], dict] = {}


def parse(
    files: Sequence[str],
    bindings: Sequence[str],
    configurables: Mapping[str, Callable],
) -> None:
    """Parse gin files, then single bindings, which win.

    Includes are looked up from the working directory and each file's own folder.

    Args:
        files: paths of gin files.
        bindings: such as `train.steps=100`.
        configurables: everything that may be bound, by its name in gin, for
            suggestions.

    Raises:
        UserError: if a file is missing or has an error, a name is unknown, or a setting
            that takes a number gets none.
    """
    for file in files:
        if not pathlib.Path(file).is_file():
            raise UserError(f"--gin_file={file}: there is no such file")
        gin.add_config_file_search_path(str(pathlib.Path(file).resolve().parent))
    verbosity = logging.get_verbosity()
    # gin logs an error for each folder in which an included file is not found.
    logging.set_verbosity(logging.FATAL)
    try:
        # Binding one by one lets an error name its binding.
        gin.parse_config_files_and_bindings(
            files, [], finalize_config=False, skip_unknown=False
        )
        for binding in bindings:
            gin.parse_config(binding, skip_unknown=False)
        gin.finalize()
    except _GIN_ERRORS as error:
        where = ", ".join([*files, *bindings])
        # gin appends its whole configuration to some messages
        message = " ".join(str(error).split(" in config string:")[0].split())
        message = _NO_VALUE.sub(r"'\1' is no value: text needs quotes", message)
        raise UserError(
            f"configuration ({where}): {message}{_suggestion(message, configurables)}"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
    _check_numbers(_finalized)
    _check_scopes(_finalized)


@gin.config.register_finalize_hook
def _keep(config: Mapping) -> None:
    """Take hold of the bindings, which gin shows to such hooks only."""
    _finalized.clear()
    _finalized.update(config)


def _check_numbers(config: Mapping) -> None:
    """Name a setting that is text or the like, where its function takes a number."""
    for (scope, configurable), values in config.items():
        function = gin.get_configurable(configurable)
        parameters = inspect.signature(function).parameters
        for name, value in values.items():
            one = parameters[name]
            kind = type(one.default) if one.annotation is one.empty else one.annotation
            kinds = set(typing.get_args(kind) or [kind])
            if not kinds <= {int, float, bool, type(None)} or kinds == {type(None)}:
                continue
            missing = value is None and type(None) not in kinds
            if missing or isinstance(value, _NO_NUMBERS):
                wanted = "True or False" if kinds == {bool} else "a number"
                setting = f"{_binding(scope, configurable)}.{name}"
                raise UserError(
                    f"configuration: {setting} takes {wanted}, got {value!r}"
                )


def _check_scopes(config: Mapping) -> None:
    """Name a scope that no reference enters: what is bound in it would do nothing."""
    entered = {
        "/".join(one.scopes[: depth + 1])
        for one in gin.config.iterate_references(config)
        for depth in range(len(one.scopes))
    }
    for scope, configurable in config:
        if scope and scope not in entered and configurable != "gin.macro":
            nearest = difflib.get_close_matches(scope, entered, n=3, cutoff=0.5)
            meant = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
            raise UserError(
                f"configuration: nothing refers to @{_binding(scope, configurable)}."
                f"{meant}"
            )


def _binding(scope: str, configurable: str) -> str:
    name = configurable.split(".")[-1]
    return f"{scope}/{name}" if scope else name


def _suggestion(message: str, configurables: Mapping[str, Callable]) -> str:
    """Name what may have been meant by an unknown name in gin's message."""
    settings = {
        configurable: [
            # The others are given by the code.
            name
            for name, one in inspect.signature(function).parameters.items()
            if one.default is not one.empty
        ]
        for configurable, function in configurables.items()
    }
    unknown_name = re.search(
        r"No configurable matching (?:reference )?'@?([\w.]+)", message
    )
    unknown_setting = re.search(
        r"[Cc]onfigurable '([^']+)' doesn't have a parameter named '([^']+)'", message
    )
    if unknown_setting:
        function = unknown_setting.group(1).split(".")[-1]
        wanted, choices = unknown_setting.group(2), settings.get(function, [])
    elif unknown_name:
        wanted, choices = unknown_name.group(1), list(settings)
    else:
        return ""
    nearest = difflib.get_close_matches(wanted, choices, n=3, cutoff=0.5)
    if nearest:
        return f" Did you mean {' or '.join(nearest)}?"
    return f" Known: {', '.join(choices)}." if choices else ""
