"""Strict gin parsing: errors name the file or binding and suggest valid names."""

import difflib
import inspect
import pathlib
import re
import tokenize
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gin
from absl import logging as absl_logging

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
# gin's message about a word without quotes.
_NO_VALUE = re.compile(
    r"malformed node or string.*?<ast\.\w+ object at \w+> Failed to parse token '(.+?)'"
)
# {(scope, configurable): {parameter: value}}
Bindings = Mapping[tuple[str, str], Mapping[str, Any]]

_finalized: dict[tuple[str, str], Mapping[str, Any]] = {}


def parse(
    files: Sequence[str],
    bindings: Sequence[str],
    configurables: Mapping[str, Callable[..., Any]],
) -> None:
    """Parse gin files, then single bindings, which override the files.

    Included files are looked up in the working directory and in the folder of each
    file.

    Args:
        files: paths of gin files.
        bindings: such as `train.steps=100`.
        configurables: everything that may be bound, by its name in gin, for
            suggestions.

    Raises:
        UserError: a file is missing or has an error, a name is unknown, a scope is
            never used, or a setting that takes a number has another value.
    """
    for file in files:
        if not pathlib.Path(file).is_file():
            raise UserError(f"--gin_file={file} does not exist")
        gin.add_config_file_search_path(str(pathlib.Path(file).resolve().parent))
    verbosity = absl_logging.get_verbosity()
    # gin logs an error for each folder that lacks an included file.
    absl_logging.set_verbosity(absl_logging.FATAL)
    try:
        gin.parse_config_files_and_bindings(
            files, [], finalize_config=False, skip_unknown=False
        )
        # One call for each, so that an error quotes its binding.
        for binding in bindings:
            gin.parse_config(binding, skip_unknown=False)
        gin.finalize()
    except _GIN_ERRORS as error:
        origin = ", ".join([*files, *bindings])
        # gin appends its whole configuration to some messages.
        message = " ".join(str(error).split(" in config string:")[0].split())
        message = _NO_VALUE.sub(r"'\1' is not a value: text needs quotes", message)
        suggestion = _suggest_names(message, configurables)
        raise UserError(f"configuration ({origin}): {message}{suggestion}") from None
    finally:
        absl_logging.set_verbosity(verbosity)
    _check_numbers(_finalized)
    _check_scopes(_finalized)


@gin.config.register_finalize_hook
def _store_bindings(config: Bindings) -> None:
    """Copy the bindings, which gin passes to finalize hooks only."""
    _finalized.clear()
    _finalized.update(config)


def _check_numbers(config: Bindings) -> None:
    """Raise a UserError if a parameter that takes a number is bound to another type."""
    for (scope, configurable), values in config.items():
        parameters = inspect.signature(gin.get_configurable(configurable)).parameters
        for name, value in values.items():
            kinds = _types_of(parameters[name])
            if not kinds <= {int, float, bool, type(None)} or kinds == {type(None)}:
                continue
            forbidden_none = value is None and type(None) not in kinds
            if forbidden_none or isinstance(value, str | tuple | list | dict):
                expected = "True or False" if kinds == {bool} else "a number"
                setting = f"{_format_name(scope, configurable)}.{name}"
                raise UserError(
                    f"configuration: {setting} takes {expected}, got {value!r}"
                )


def _types_of(parameter: inspect.Parameter) -> set[Any]:
    """Return the annotated types of a parameter, or the type of its default."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return {type(parameter.default)}
    if isinstance(annotation, types.UnionType):
        return set(typing.get_args(annotation))
    return {annotation}


def _check_scopes(config: Bindings) -> None:
    """Raise a UserError for a scope that no reference uses: it has no effect."""
    used = {
        "/".join(reference.scopes[: depth + 1])
        for reference in gin.config.iterate_references(config)
        for depth in range(len(reference.scopes))
    }
    for scope, configurable in config:
        if scope and scope not in used and configurable != "gin.macro":
            name = _format_name(scope, configurable)
            raise UserError(
                f"configuration: nothing refers to @{name}.{_did_you_mean(scope, used)}"
            )


def _format_name(scope: str, configurable: str) -> str:
    name = configurable.split(".")[-1]
    return f"{scope}/{name}" if scope else name


def _suggest_names(
    message: str, configurables: Mapping[str, Callable[..., Any]]
) -> str:
    """Return a sentence with the valid names closest to an unknown one, or ""."""
    unknown_name = re.search(
        r"No configurable matching (?:reference )?'@?([\w.]+)", message
    )
    unknown_setting = re.search(
        r"[Cc]onfigurable '([^']+)' doesn't have a parameter named '([^']+)'", message
    )
    if unknown_setting:
        configurable, name = unknown_setting.groups()
        function = configurables.get(configurable.split(".")[-1])
        parameters = inspect.signature(function).parameters if function else {}
        # Parameters without a default are passed by the code itself.
        choices = [key for key, p in parameters.items() if p.default is not p.empty]
    elif unknown_name:
        name, choices = unknown_name[1], list(configurables)
    else:
        return ""
    known = f" Known: {', '.join(choices)}." if choices else ""
    return _did_you_mean(name, choices) or known


def _did_you_mean(name: str, choices: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(nearest)}?" if nearest else ""
