"""Strict gin parsing: errors name the file or binding and suggest valid names."""

import difflib
import inspect
import io
import pathlib
import re
import tokenize
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gin
from absl import logging as absl_logging
from gin import config_parser

from tfstyle.core import typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import cut
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
# What Python says about a number that it does not read.
_TOO_LONG = re.compile(r"Exceeds the limit \((\d+) digits\).*")
# gin's message about a word without quotes.
_NO_VALUE = re.compile(
    r"malformed node or string.*?<ast\.\w+ object at \w+> Failed to parse token '(.+?)'"
)
# {(scope, configurable): {parameter: value}}
Bindings = Mapping[tuple[str, str], Mapping[str, Any]]

_MACRO, _CONSTANT = "gin.macro", "gin.constant"
# More files than this are included by mistake: each may include others twice.
_MAX_INCLUDES = 200
_SHOWN = 200  # characters of gin's messages

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
            never used, a value does not fit its setting, or a line
            would import a module.
    """
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.FATAL)
    try:
        for file in files:
            _parse_file(_find_file(file), [], included=[])
        # One call for each, so that an error quotes its binding.
        for binding in bindings:
            if not binding.strip():
                raise UserError(
                    "--gin_param is empty: write a setting, such as train.steps=100"
                )
            _parse_text(binding, "--gin_param", pathlib.Path(), [], included=[])
        gin.finalize()
    except UserError:
        raise
    except _GIN_ERRORS as error:
        texts = [cut(" ".join(text.split()), 100) for text in bindings]
        origin = ", ".join([*files, *texts])
        # gin appends its whole configuration to some messages.
        message = " ".join(str(error).split(" in config string:")[0].split())
        message = _NO_VALUE.sub(r"'\1' is not a value: text needs quotes", message)
        message = _TOO_LONG.sub(r"a number of more than \1 digits", message)
        suggestion = _suggest_names(message, configurables)
        raise UserError(
            f"configuration ({origin}): {cut(message, _SHOWN)}{suggestion}"
        ) from None
    finally:
        absl_logging.set_verbosity(verbosity)
    _check_values(_finalized)
    _check_scopes(_finalized)


def _find_file(file: str) -> pathlib.Path:
    path = pathlib.Path(file)
    if path.is_dir():
        raise UserError(f"--gin_file={file} is a folder: name a file in it")
    if path.exists() and not path.is_file():
        raise UserError(f"--gin_file={file} is not a regular file")
    if not path.exists():
        raise UserError(f"--gin_file={file} does not exist")
    return path


def _parse_file(
    path: pathlib.Path,
    parents: Sequence[pathlib.Path],
    included: list[pathlib.Path],
) -> None:
    """Parse a file that `parents` include, the outermost first.

    `included` collects all files that a file of the command line includes.
    """
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows write a BOM
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text: {error}") from None
    _parse_text(text, str(path), path.parent, [*parents, path], included)


def _parse_text(
    text: str,
    name: str,
    folder: pathlib.Path,
    files: Sequence[pathlib.Path],
    included: list[pathlib.Path],
) -> None:
    """Parse a text, and in their places the files that it includes.

    Args:
        text: in gin's syntax.
        name: of its file, or its flag, for errors.
        folder: that included files are relative to.
        files: that this text is from and those that include it.
        included: see `_parse_file`.
    """
    lines = text.split("\n")
    statements = list(config_parser.ConfigParser(_NamedText(text, name), _NoValues()))
    starts = [statement.location.line_num - 1 for statement in statements]
    parsed = 0  # lines
    ends = [*starts[1:], len(lines)] if starts else []  # none: all is comments
    for statement, start, end in zip(statements, starts, ends, strict=True):
        where = f"{name}, line {start + 1}"
        if isinstance(statement, config_parser.ImportStatement):
            raise UserError(
                f"configuration: {where}: {lines[start].strip()!r} would run the code "
                "of a Python module, which is not allowed: a configuration holds "
                "settings only"
            )
        if isinstance(statement, config_parser.IncludeStatement):
            _parse_lines(lines[:start], parsed, name)
            file = _find_included(statement.filename, folder, where)
            if any(file.samefile(parent) for parent in files):
                raise UserError(f"configuration: {where}: {file} includes itself")
            included.append(file)
            if len(included) > _MAX_INCLUDES:
                most = max(included, key=included.count)
                raise UserError(
                    f"configuration: {where}: more than {_MAX_INCLUDES} included files;"
                    f" {most} was included {included.count(most)} times: include each "
                    "file once"
                )
            _parse_file(file, files, included)
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
        if candidate.is_dir():
            raise UserError(
                f"configuration: {where}: {candidate} is a folder: name a file in it"
            )
        if candidate.exists():
            raise UserError(f"configuration: {where}: {candidate} is no regular file")
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
    whole = {}
    for (scope, configurable), values in config.items():
        if configurable == _MACRO:
            continue
        kinds = _kinds_of(configurable)
        for name, bound in values.items():
            value = _resolve(bound, config, f"{configurable}.{name}")
            if (
                isinstance(value, float)
                and value.is_integer()
                and typed.fits(kinds[name], int(value))
                and not typed.fits(kinds[name], value)
            ):
                whole[scope, configurable, name] = int(value)
    return whole


def _kinds_of(configurable: str) -> dict[str, Any]:
    """Return the type of each setting: its annotation, or the type of its default."""
    parameters = inspect.signature(gin.get_configurable(configurable)).parameters
    return {
        name: type(parameter.default)
        if parameter.annotation is parameter.empty
        else parameter.annotation
        for name, parameter in parameters.items()
    }


def _check_values(config: Bindings) -> None:
    """Raise a UserError for a setting whose value does not fit its type."""
    for (scope, configurable), values in config.items():
        if configurable in (_MACRO, _CONSTANT):
            continue
        kinds = _kinds_of(configurable)
        for name, bound in values.items():
            setting = f"{_format_name(scope, configurable)}.{name}"
            value = _resolve(bound, config, setting)
            if not _fits(kinds[name], value):
                typed.refuse(f"configuration: {setting}", kinds[name], value)


def _resolve(value: Any, config: Bindings, setting: str) -> Any:
    """Return a value with its macros and constants replaced by what they stand for."""
    macros: list[str] = []
    while (
        isinstance(value, gin.config.ConfigurableReference)
        and value.evaluate
        and value.config_key[1] in (_MACRO, _CONSTANT)
    ):
        name, kind = value.config_key
        if name in macros:
            cycle = " -> ".join(f"%{macro}" for macro in [*macros, name])
            raise UserError(f"configuration: {setting}: {cycle} never ends")
        macros.append(name)
        is_macro = kind == _MACRO
        if is_macro and value.config_key not in config:
            raise UserError(f"configuration: {setting}: %{name} has no value")
        value = (
            config[value.config_key]["value"]
            if is_macro
            else value.scoped_configurable_fn()
        )
    if isinstance(value, tuple | list):
        return type(value)(_resolve(entry, config, setting) for entry in value)
    return value


def _fits(kind: Any, value: Any) -> bool:
    if not isinstance(value, gin.config.ConfigurableReference):
        return typed.fits(kind, value)
    # A reference fits by what it makes, before anything is made.
    function = value.configurable.wrapped
    made = function
    if not inspect.isclass(function):
        made = inspect.signature(function).return_annotation
    wanted = kind
    if not value.evaluate:
        wanted = (typing.get_args(kind) or (None, None))[-1]
        if typing.get_origin(kind) is not Callable:
            return False
    return (
        inspect.isclass(wanted) and inspect.isclass(made) and issubclass(made, wanted)
    )


def _check_scopes(config: Bindings) -> None:
    """Raise a UserError for a scope that no reference uses: it has no effect."""
    used = {
        "/".join(reference.scopes[: depth + 1])
        for reference in gin.config.iterate_references(config)
        for depth in range(len(reference.scopes))
    }
    for scope, configurable in config:
        if scope and scope not in used and configurable != _MACRO:
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
