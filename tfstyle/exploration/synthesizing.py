"""What making new pictures takes: the generator of a run, and styles by name."""

import dataclasses
import difflib
import math
import pathlib
import re

import numpy as np

from tfstyle.core.cli import UserError
from tfstyle.modeling.networks.networks import Generator
from tfstyle.runs import folder as runs
from tfstyle.runs import style_space

# NAME:WEIGHT up to a comma or the end. The shortest name that leaves a weight, so that
# names may hold colons and commas. A sign is read, so that the weight is refused.
_WEIGHTED = re.compile(
    r"\s*(.+?)\s*:\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(?:,|$)", re.IGNORECASE
)


def load_generator(run_dir: pathlib.Path) -> tuple[Generator, tuple[int, int, int]]:
    """Load the moving average of a run's generator.

    Returns:
        G, and its dimensions of style, content and noise.

    Raises:
        UserError: if the gan stage is not trained, or trained on codes that are gone.
    """
    folder = runs.StageFolder(run_dir, "gan")
    run = folder.read()
    command = runs.train_command("gan", run_dir)
    if not folder.finished:
        raise UserError(
            f"the gan stage in {run_dir} is unfinished; finish it with: {command}"
        )
    if run["identity"]["earlier_stages"] != runs.earlier_digests("gan", run_dir):
        raise UserError(
            f"the gan stage in {run_dir} was trained on codes that are gone; train it "
            f"again with: {command} --restart"
        )
    style_dims, content_dims, noise_dims = run["code_dims"]
    generator = runs.load_network(folder, "generator_average")
    return generator, (style_dims, content_dims, noise_dims)


@dataclasses.dataclass(frozen=True)
class Artists:
    """Everyone in a run's style space, to be asked for by name.

    Args:
        names: of N artists, trained and enrolled.
        means: float32 [N, style], their mean styles, normalized.
    """

    names: list[str]
    means: np.ndarray

    @classmethod
    def load(cls, run_dir: pathlib.Path) -> "Artists":
        """Read who is in the space; UserError if the metric stage is not trained."""
        return cls(*style_space.artist_styles(run_dir))

    def style(self, name: str) -> np.ndarray:
        """Give an artist's style, float32 [style].

        Raises:
            UserError: nobody has this name; the nearest ones are given.
        """
        if name not in self.names:
            nearest = sorted(self.names, key=lambda known: -_likeness(known, name))
            hint = " (--style_mix takes NAME:WEIGHT,NAME:WEIGHT,..)" * (":" in name)
            raise UserError(
                f"no artist of the run is named {name!r}; the nearest names are: "
                f"{', '.join(nearest[:3])}{hint}"
            )
        return self.means[self.names.index(name)]

    def mixed(self, mix: str) -> np.ndarray:
        """Give the weighted mean of artists' styles.

        Args:
            mix: "NAME:WEIGHT,NAME:WEIGHT,..", weights above 0 of any sum.

        Returns:
            float32 [style].

        Raises:
            UserError: the text is not like that, or a name is unknown.
        """
        styles, weights, end = [], [], 0
        while end < len(mix):
            found = _WEIGHTED.match(mix, end)
            weight = _positive(found.group(2)) if found else None
            if found is None or weight is None:
                raise UserError(
                    "--style_mix must be NAME:WEIGHT,NAME:WEIGHT,.. with weights above "
                    f"0, got {mix[end:]!r}"
                )
            styles.append(self.style(found.group(1)))
            weights.append(weight)
            end = found.end()
        if not styles:
            raise UserError("--style_mix must be NAME:WEIGHT,NAME:WEIGHT,.., got ''")
        shares = np.divide(weights, max(weights))  # no sum of weights is too large
        return np.average(styles, axis=0, weights=shares).astype(np.float32)

    def listed(self, text: str) -> list[str]:
        """Split "NAME,NAME,.." into names that are known.

        Of names that hold commas the longest that is known is taken.

        Raises:
            UserError: if a name is unknown.
        """
        parts, names = text.split(","), []
        while parts:
            count = len(parts)
            while count > 1 and ",".join(parts[:count]).strip() not in self.names:
                count -= 1
            names.append(",".join(parts[:count]).strip())
            self.style(names[-1])  # refuses an unknown one
            parts = parts[count:]
        return names

    def wanted(self, artist: str | None, mix: str | None) -> np.ndarray | None:
        """Give the style of --style_artist or --style_mix; None for neither."""
        if artist is not None:
            return self.style(artist)
        return None if mix is None else self.mixed(mix)


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name.casefold(), other.casefold()).ratio()


def _positive(text: str) -> float | None:
    """Read a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
