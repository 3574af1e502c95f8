"""The artists of a style space, trained and enrolled, and names of its dimensions.

An enrolled artist is represented by the mean normalized style code of a few pictures,
stored in RUN_DIR/metric/enrolled.npz. Search, encode and export treat enrolled artists
like the others.
"""

import dataclasses
import difflib
import hashlib
import math
import pathlib
import re

import numpy as np

from tfstyle.core import files, typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import clean_line, encode, show
from tfstyle.metrics import retrieval

ENROLLED_FILE = "enrolled.npz"
# Names given to style dimensions by hand, in the run folder; export copies it.
NAMES_FILE = "dimension_names.tsv"
# NAME:WEIGHT up to a comma or the end. The shortest name that leaves a weight, so that
# names may contain colons and commas. A sign is read, so that the weight is refused.
_WEIGHTED = re.compile(
    r"\s*(.+?)\s*:\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(?:,|$)", re.IGNORECASE | re.DOTALL
)


@dataclasses.dataclass(frozen=True)
class Enrolled:
    """Artists that were added to a style space without training."""

    names: list[str]
    means: np.ndarray  # float32 [N, style], mean normalized codes
    counts: np.ndarray  # int64 [N], number of pictures behind each mean

    @classmethod
    def empty(cls, dims: int) -> "Enrolled":
        """Return no artists, for a style space of so many dimensions."""
        return cls([], np.zeros([0, dims], np.float32), np.zeros([0], np.int64))

    @property
    def digest(self) -> str:
        """Identifies these artists to an export."""
        names = encode("\n".join(self.names))
        return hashlib.sha256(names + self.means.tobytes()).hexdigest()

    def remove(self, name: str) -> "Enrolled":
        """Return all but one artist."""
        rows = [row for row, other in enumerate(self.names) if other != name]
        return Enrolled(
            [self.names[row] for row in rows], self.means[rows], self.counts[rows]
        )

    def add(self, name: str, mean: np.ndarray, count: int) -> "Enrolled":
        """Return these artists and another, in place of an older one of this name."""
        others = self.remove(name)
        return Enrolled(
            [*others.names, name],
            np.concatenate([others.means, mean[None]]).astype(np.float32),
            np.append(others.counts, count).astype(np.int64),
        )

    def write(self, path: pathlib.Path, statistics_digest: str) -> None:
        """Write the artists, whose means belong to the style codes of that digest.

        The file is deleted with the last artist.

        Raises:
            UserError: if the file cannot be written.
        """
        try:
            if not self.names:
                path.unlink(missing_ok=True)
                return
            files.write_npz(
                path,
                names=np.array(self.names, str),
                means=self.means,
                counts=self.counts,
                statistics=np.array(statistics_digest),
            )
        except OSError as error:
            raise UserError(
                f"enrolled artists are stored in {path}, which cannot be written "
                f"({error.strerror}): copy the run to a folder that you may write"
            ) from None


def read_enrolled(
    path: pathlib.Path, statistics_digest: str, dims: int
) -> tuple[Enrolled, list[str]]:
    """Read the enrolled artists of a style space with these codes and dimensions.

    Codes of an earlier training mean nothing in the present space.

    Returns:
        The artists, and names of artists who must be enrolled again.

    Raises:
        UserError: if the file is corrupt.
    """
    if not path.exists():
        return Enrolled.empty(dims), []
    try:
        arrays = files.read_npz(path)
        typed.check_array(arrays["names"], (None,), "U", "names")
        names = [str(name) for name in arrays["names"]]
        if len(set(names)) < len(names):
            raise ValueError("it lists an artist twice")
        if str(arrays["statistics"]) != statistics_digest:
            return Enrolled.empty(dims), names
        means, counts = arrays["means"], arrays["counts"]
        typed.check_array(means, (len(names), dims), "f", "means")
        typed.check_array(counts, (len(names),), "iu", "counts")
        if (counts < 1).any():
            raise ValueError("counts are not above 0")
        return Enrolled(names, means, counts), []
    except (ValueError, KeyError) as error:
        named = isinstance(error, UserError)
        problem = str(error) if named else f"{path} is corrupt ({error})"
        raise UserError(
            f"{problem}: put back a copy, or move it away and enrol its artists again"
        ) from None


@dataclasses.dataclass(frozen=True)
class ArtistStyles:
    """All artists of a style space by name: trained ones, then enrolled ones."""

    names: list[str]
    means: np.ndarray  # float32 [N, style], mean normalized codes
    deviation: np.ndarray  # float32 [style], by which style codes were divided

    def get_style(self, name: str) -> np.ndarray:
        """Return an artist's style, float32 [style].

        The name may also be written as `core.names.show` shows it, and without spaces
        at its ends.

        Raises:
            UserError: if there is no artist of this name; with the closest names.
        """
        shown = list(map(show, self.names))
        for known in (self.names, shown, [other.strip() for other in self.names]):
            if name in known:
                return self.means[known.index(name)]
        closest = sorted(shown, key=lambda known: -_similarity(known, name))
        hint = " (--style_mix takes NAME:WEIGHT,NAME:WEIGHT,..)" * (":" in name)
        raise UserError(
            f"no artist of the run is named '{show(name)}'; the closest names are: "
            f"{', '.join(closest[:3])}{hint}"
        )

    def mix_styles(self, mix: str) -> np.ndarray:
        """Return the weighted mean of artists' styles.

        Args:
            mix: "NAME:WEIGHT,NAME:WEIGHT,..", weights above 0 of any sum.

        Returns:
            float32 [style].

        Raises:
            UserError: if the text has another form, or a name is unknown.
        """
        styles, weights, end = [], [], 0
        while end < len(mix):
            match = _WEIGHTED.match(mix, end)
            weight = _parse_positive(match.group(2)) if match else None
            if match is None or weight is None:
                raise UserError(
                    "--style_mix must be NAME:WEIGHT,NAME:WEIGHT,.. with weights above "
                    f"0, got {mix[end:]!r}"
                )
            styles.append(self.get_style(match.group(1)))
            weights.append(weight)
            end = match.end()
        if not styles:
            raise UserError("--style_mix must be NAME:WEIGHT,NAME:WEIGHT,.., got ''")
        shares = np.divide(weights, max(weights))  # no sum of weights is too large
        return np.average(styles, axis=0, weights=shares).astype(np.float32)

    def parse_names(self, text: str) -> list[str]:
        """Split "NAME,NAME,.." into known names.

        Of names that contain commas the longest known one is taken.

        Raises:
            UserError: if a name is unknown.
        """
        parts, names = text.split(","), []
        known = {text.strip() for name in self.names for text in (name, show(name))}
        while parts:
            count = len(parts)
            while count > 1 and ",".join(parts[:count]).strip() not in known:
                count -= 1
            names.append(",".join(parts[:count]).strip())
            self.get_style(names[-1])  # refuses an unknown name
            parts = parts[count:]
        return names

    def choose_style(self, artist: str | None, mix: str | None) -> np.ndarray | None:
        """Return the style of --style_artist or --style_mix; None for neither."""
        if artist is not None:
            return self.get_style(artist)
        return None if mix is None else self.mix_styles(mix)

    def find_nearest(
        self, codes: np.ndarray, others: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest codes in the learned metric, before normalization.

        Args:
            codes: float [n, style], normalized.
            others: float [N, style], normalized, such as `means`.
            count: how many to find at most.

        Returns:
            int64 [n, k], indices in `others`, and float64 [n, k], distances, rising.
        """
        return retrieval.find_nearest(
            codes * self.deviation, others * self.deviation, min(count, len(others))
        )


def read_dimension_names(path: pathlib.Path, dims: int | None = None) -> dict[int, str]:
    """Read names given to dimensions by hand, lines of dimension<TAB>name.

    Empty lines and a first line `dimension<TAB>name` are allowed. Control characters
    are escaped. Without the file there are no names. `dims` is the number of
    dimensions, if it is known.

    Returns:
        {dimension, from 1 to dims: name}.

    Raises:
        UserError: if the file cannot be read, a line is not a dimension, a tab and a
            printable name, a dimension does not exist, or one has two names.
    """
    if not path.exists():
        return {}
    if not path.is_file():
        raise UserError(f"{path} is not a file")
    try:
        lines = re.split(r"\r\n|[\r\n]", path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    names: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip() or (number == 1 and cells == ["dimension", "name"]):
            continue
        where = f"{path}, line {number}"
        if len(cells) != 2 or not all(cells) or not cells[1].isprintable():
            raise UserError(
                f"{where}: must be a dimension, a tab and its name, got {line!r}"
            )
        if not _is_dimension(cells[0], dims):
            limit = "on" if dims is None else f"to {dims}"
            raise UserError(
                f"{where}: the dimension must be a number from 1 {limit}, got "
                f"{cells[0]!r}"
            )
        if int(cells[0]) in names:
            raise UserError(
                f"{where}: dimension {cells[0]} has two names, "
                f"{names[int(cells[0])]!r} and {cells[1]!r}"
            )
        names[int(cells[0])] = clean_line(cells[1])
    return names


def _is_dimension(text: str, dims: int | None) -> bool:
    if not (text.isdecimal() and len(text) < 10):
        return False
    return int(text) >= 1 and (dims is None or int(text) <= dims)


def _similarity(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name.casefold(), other.casefold()).ratio()


def _parse_positive(text: str) -> float | None:
    """Read a finite number above 0; None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
