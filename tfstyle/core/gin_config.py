"""Strict gin parsing: errors name the file or binding and suggest valid names."""

import difflib
import inspect
import io
import pathlib
import re
import tokenize
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gin
from absl import logging as absl_logging
from gin import config_parser

from tfstyle.core.cli import UserError
from tfstyle.core.paths import expand

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

    Included files are looked up in the folder of the file that includes them, then in
    the working directory. A configuration holds nothing but settings: lines that
    import Python modules are refused.

    Args:
        files: paths of gin files.
        bindings: such as `train.steps=100`.
        configurables: everything that may be bound, by its name in gin, for
            suggestions.

    Raises:
        UserError: a file is missing or has an error, a name is unknown, a scope is
            never used, a setting that takes a number has another value, or a line
            would import a module.
    """
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.FATAL)
    try:
        for file in files:
            if not pathlib.Path(file).is_file():
                raise UserError(f"--gin_file={file} does not exist")
            _parse_file(pathlib.Path(file), [])
        # One call for each, so that an error quotes its binding.
        for binding in bindings:
            _parse_text(binding, "--gin_param", pathlib.Path(), [])
        gin.finalize()
    except UserError:
        raise
    except _GIN_ERRORS as error:
        origin = ", ".join([*files, *(" ".join(text.split()) for text in bindings)])
        # gin appends its whole configuration to some messages.
        message = " ".join(str(error).split(" in config string:")[0].split())
        message = _NO_VALUE.sub(r"'\1' is not a value: text needs quotes", message)
        suggestion = _suggest_names(message, configurables)
        raise UserError(f"configuration ({origin}): {message}{suggestion}") from None
    finally:
        absl_logging.set_verbosity(verbosity)
    _check_numbers(_finalized)
    _check_scopes(_finalized)


def _parse_file(path: pathlib.Path, parents: Sequence[pathlib.Path]) -> None:
    """Parse a file that `parents` include, the outermost first."""
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows write a BOM
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text: {error}") from None
    _parse_text(text, str(path), path.parent, [*parents, path])


def _parse_text(
    text: str, name: str, folder: pathlib.Path, files: Sequence[pathlib.Path]
) -> None:
    """Parse a text, and in their places the files that it includes.

    Args:
        text: in gin's syntax.
        name: of its file, or its flag, for errors.
        folder: that included files are relative to.
        files: that this text is from and those that include it.
    """
    lines = text.split("\n")
    statements = list(config_parser.ConfigParser(_NamedText(text, name), _NoValues()))
    starts = [statement.location.line_num - 1 for statement in statements]
    parsed = 0  # lines
    for statement, start, end in zip(
        statements, starts, [*starts[1:], len(lines)], strict=True
    ):
        where = f"{name}, line {start + 1}"
        if isinstance(statement, config_parser.ImportStatement):
            raise UserError(
                f"configuration: {where}: {lines[start].strip()!r} would run the code "
                "of a Python module, which is not allowed: a configuration holds "
                "settings only"
            )
        if isinstance(statement, config_parser.IncludeStatement):
            _parse_lines(lines[:start], parsed, name)
            included = _find_included(statement.filename, folder, where)
            if any(included.samefile(file) for file in files):
                raise UserError(f"configuration: {where}: {included} includes itself")
            _parse_file(included, files)
            parsed = end
    _parse_lines(lines, parsed, name)


def _parse_lines(lines: Sequence[str], first: int, name: str) -> None:
    """Parse settings from a line on; its number in errors is that of the file."""
    text = "\n" * first + "\n".join(lines[first:])
    gin.parse_config(_NamedText(text, name), skip_unknown=False)


def _find_included(filename: str, folder: pathlib.Path, where: str) -> pathlib.Path:
    path = pathlib.Path(expand(filename))
    for candidate in (folder / path, path):
        if candidate.is_file():
            return candidate
    raise UserError(
        f"configuration: {where}: there is no file {filename} in {folder} or in the "
        "working directory"
    )


class _NamedText(io.StringIO):
    """A text that gin's errors call by the name of its file."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


class _NoValues(config_parser.ParserDelegate):
    """Lets gin's parser find the statements of a text, without their values."""

    def configurable_reference(self, *_: Any) -> None:
        pass

    def macro(self, *_: Any) -> None:
        pass


@gin.config.register_finalize_hook
def _finalize(config: Bindings) -> dict[tuple[str, str, str], int]:
    """Copy the bindings, which gin passes to finalize hooks only.

    Returns:
        {(scope, configurable, parameter): value} of whole numbers that are written like
        1e5, for parameters that take no other numbers.
    """
    _finalized.clear()
    _finalized.update(config)
    return {
        (scope, configurable, name): int(value)
        for (scope, configurable), values in config.items()
        for name, value in values.items()
        if isinstance(value, float)
        and value.is_integer()
        and _takes_whole_numbers(configurable, name)
    }


def _takes_whole_numbers(configurable: str, name: str) -> bool:
    parameters = inspect.signature(gin.get_configurable(configurable)).parameters
    kinds = _types_of(parameters[name]) if name in parameters else set()
    return int in kinds and float not in kinds


def _check_numbers(config: Bindings) -> None:
    """Raise a UserError if a parameter that takes a number is bound to another type."""
    for (scope, configurable), values in config.items():
        parameters = inspect.signature(gin.get_configurable(configurable)).parameters
        for name, value in values.items():
            kinds = _types_of(parameters[name])
            if not kinds <= {int, float, bool, type(None)} or kinds == {type(None)}:
                continue
            forbidden_none = value is None and type(None) not in kinds
            fraction = isinstance(value, float) and _takes_whole_numbers(
                configurable, name
            )
            if (
                forbidden_none
                or (fraction and not value.is_integer())
                or isinstance(value, str | tuple | list | dict)
            ):
                expected = "True or False" if kinds == {bool} else "a number"
                if fraction:
                    expected = "a whole number"
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
