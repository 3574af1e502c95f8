"""The content of pictures in another style: what `python -m tfstyle.transfer` does."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.data import pictures
from tfstyle.data.splits import Source
from tfstyle.exploration import encoding, synthesizing
from tfstyle.exploration.refinement import refine_codes
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.networks.networks import Generator
from tfstyle.runs import folder as runs
from tfstyle.runs.style_space import StyleSpace

# Rows, and pictures of the style in each, on the sheet at most.
_ROWS, _STYLES = 16, 4
# Pictures refined at once: gradients take far more memory than pictures.
_REFINED_AT_ONCE = 8

# Some contents: where from, uint8 pictures, content and noise codes, and if these were
# refined the errors before and after.
_Contents = tuple[
    list[Source],
    np.ndarray,
    tuple[np.ndarray, np.ndarray],
    list[tuple[float, float]],
]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The style to give to pictures: one of the three.

    Args:
        pictures: files, or folders of them, whose mean code it is.
        artist: whose mean style it is.
        mix: of artists' styles, see `synthesizing.Artists.mixed`.
    """

    pictures: Sequence[str] = ()
    artist: str | None = None
    mix: str | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture that was made.

    Args:
        name: of the content picture.
        path: where the result is.
        errors: the error of rebuilding the content picture before its codes were
            refined, and after; None if they were not.
    """

    name: str
    path: str
    errors: tuple[float, float] | None


def transfer(
    run_dir: pathlib.Path,
    contents: Sequence[str],
    wanted: Wanted,
    output: str,
    noise_seed: int = 0,
    refine_steps: int = 0,
    sheet: str | None = None,
    overwrite: bool = False,
) -> tuple[list[Result], list[encoding.LeftOut]]:
    """Generate each content in the wanted style, and write it as soon as it is made.

    Args:
        run_dir: the run, all but its classifier trained.
        contents: picture files, or folders of them.
        wanted: the style.
        output: the file to write for a single content file, else the folder.
        noise_seed: of the unconditioned code, one for all.
        refine_steps: of refining content and noise, see `refinement.refine_codes`.
        sheet: a .png to draw contents, results and the style's pictures on.
        overwrite: replace older files.

    Returns:
        What was made, and the files left out.

    Raises:
        UserError: the run lacks a generator, an artist is unknown, no picture can be
            used, or a file is there already or given for two things.
    """
    sources, left_out = encoding.find_pictures(contents)
    paths = _output_paths(contents, sources, output)
    style_sources, _ = encoding.find_pictures(wanted.pictures)
    _refuse_clashes([*sources, *style_sources], paths, sheet)
    if not overwrite:
        _refuse_existing(paths)
    generator, (_, _, noise_dims) = synthesizing.load_generator(run_dir)
    style_left_out: list[encoding.LeftOut] = []
    style, style_pictures = _find_style(run_dir, wanted, style_left_out)
    noise = np.random.default_rng(noise_seed).normal(size=noise_dims)
    results: list[Result] = []
    rows: list[list[np.ndarray]] = []
    for used, images, (codes, noises), errors in _contents(
        run_dir, generator, sources, noise, refine_steps, left_out
    ):
        made = decode_codes(generator, np.tile(style, [len(used), 1]), codes, noises)
        for row, source in enumerate(used):
            path = paths[source]
            _write(made[row], path)
            results.append(Result(source.name, path, errors[row] if errors else None))
            if len(rows) < _ROWS:
                rows.append([images[row], made[row], *style_pictures])
    if sheet is not None:
        names = [encoding.printable(os.path.basename(one.name)) for one in results]
        title = wanted.artist or wanted.mix
        grids.write_picture(_draw(rows, names[: len(rows)], title), sheet)
    return results, [*style_left_out, *left_out]


def result_lines(results: Sequence[Result]) -> list[str]:
    """Tell what was made, as lines of text."""
    lines = []
    for one in results:
        line = f"{encoding.printable(one.name)}: {encoding.printable(one.path)}"
        if one.errors:
            before, after = one.errors
            line += f" (error of the rebuilt content {before:.1f} -> {after:.1f})"
        lines.append(line)
    return lines


def _output_paths(
    contents: Sequence[str], sources: Sequence[Source], output: str
) -> dict[Source, str]:
    """Say where the result of each content goes; no two share a name."""
    if len(contents) == 1 and not os.path.isdir(contents[0]):
        return {sources[0]: output}
    if os.path.lexists(output) and not os.path.isdir(output):
        raise UserError(f"--output={output} must be a folder for several contents")
    paths: dict[Source, str] = {}
    taken: set[str] = set()
    for source in sources:
        # Pictures of a folder keep their place in it; files come without theirs.
        alone = source.name == source.path
        name = os.path.basename(source.name) if alone else source.name
        stem = unique = os.path.splitext(name)[0]
        number = 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        paths[source] = os.path.join(output, f"{unique}.png")
    return paths


def _refuse_clashes(
    given: Sequence[Source], paths: dict[Source, str], sheet: str | None
) -> None:
    """Refuse to write over what is read or written by the same command."""
    inputs = {os.path.realpath(source.path) for source in given}
    results = {os.path.realpath(path) for path in paths.values()}
    for path in paths.values():
        if os.path.realpath(path) in inputs:
            raise UserError(
                f"{path} is a picture to transfer from: choose another --output"
            )
    if sheet is not None and os.path.realpath(sheet) in inputs | results:
        raise UserError(
            f"--sheet={sheet} is one of the contents, styles or results too: choose "
            "another file"
        )


def _refuse_existing(paths: dict[Source, str]) -> None:
    for path in paths.values():
        if os.path.lexists(path):
            raise UserError(
                f"{path} is there already: choose another --output, or add --overwrite"
            )


def _find_style(
    run_dir: pathlib.Path, wanted: Wanted, left_out: list[encoding.LeftOut]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give the style, float [style], and some of the pictures that it is of."""
    if not wanted.pictures:
        artists = synthesizing.Artists.load(run_dir)
        style = artists.wanted(wanted.artist, wanted.mix)
        assert style is not None
        return style, []
    space = StyleSpace.load(run_dir)
    sources, others = encoding.find_pictures(wanted.pictures)
    left_out += others
    codes: list[np.ndarray] = []
    shown: list[np.ndarray] = []
    batches = encoding.usable_pictures(sources, space.collection, left_out)
    for _, images in encoding.with_progress(batches, len(sources)):
        codes.append(encode_pictures(space.encoder, images))
        shown += list(images[: _STYLES - len(shown)])
    return np.concatenate(codes).astype(np.float64).mean(axis=0), shown


def _contents(
    run_dir: pathlib.Path,
    generator: Generator,
    sources: Sequence[Source],
    noise: np.ndarray,
    refine_steps: int,
    left_out: list[encoding.LeftOut],
) -> Iterator[_Contents]:
    space = StyleSpace.load(run_dir)
    encoder = runs.load_content_encoder(run_dir)
    batches = encoding.usable_pictures(sources, space.collection, left_out)
    if not refine_steps:
        for used, images in encoding.with_progress(
            batches, len(sources), "transferring"
        ):
            noises = np.tile(noise, [len(used), 1])
            yield used, images, (encode_pictures(encoder, images), noises), []
        return
    for used, images in batches:
        for start in range(0, len(used), _REFINED_AT_ONCE):
            here = slice(start, start + _REFINED_AT_ONCE)
            part = images[here]
            found = refine_codes(
                generator,
                part,
                encode_pictures(space.encoder, part),
                encode_pictures(encoder, part),
                np.tile(noise, [len(part), 1]),
                encoding.with_progress(
                    range(refine_steps), refine_steps, "refining", 1
                ),
            )
            errors = list(zip(found.before.tolist(), found.after.tolist(), strict=True))
            yield used[here], part, (found.contents, found.noises), errors


def _write(picture: np.ndarray, path: str) -> None:
    format = pictures.RESULT_FORMATS[os.path.splitext(path)[1]]
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(pictures.encode_picture(Image.fromarray(picture), format))


def _draw(
    rows: list[list[np.ndarray]], names: list[str], title: str | None
) -> Image.Image:
    styles = len(rows[0]) - 2
    return grids.picture_grid(
        rows,
        row_captions=names,
        column_captions=["content", "result", *["style"] * styles],
        title=f"style: {title}" if title else None,
    )
