"""Statistics of the training pictures' codes: what normalizes codes from then on."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from tfstyle.core import files


@dataclasses.dataclass(frozen=True)
class CodeStatistics:
    """Of the training pictures' pruned codes: what normalizes them.

    Args:
        mean, deviation: float32 [dims], of the encoder's own codes.
        artist_means: float32 [N, dims], each artist's mean code, normalized.
        normalize_content: of content, whether codes go on normalized, or as they are
            (the paper's). The style code always goes on normalized.
        given_style: of content that goes on normalized, what the style tells of it,
            see `normalized_codes.expected_content`; None to leave it in.
    """

    mean: np.ndarray
    deviation: np.ndarray
    artist_means: np.ndarray
    normalize_content: bool = False
    given_style: np.ndarray | None = None

    @property
    def dims(self) -> int:
        return len(self.mean)

    @property
    def normalized(self) -> bool | str:
        """What `pruning.normalize_content` these codes go on with."""
        return "given_style" if self.given_style is not None else self.normalize_content

    @property
    def content_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """What content codes are centred and divided by; 0 and 1 as in the paper."""
        if self.normalize_content:
            return self.mean, self.deviation
        return np.zeros_like(self.mean), np.ones_like(self.deviation)

    @property
    def digest(self) -> str:
        """Tells whether a later stage was trained on these codes."""
        parts = [self.mean, self.deviation, self.artist_means]
        digest = hashlib.sha256(b"".join(one.tobytes() for one in parts))
        if self.normalize_content:
            digest.update(b"normalize_content")
        if self.given_style is not None:
            digest.update(self.given_style.tobytes())
        return digest.hexdigest()

    def write(self, path: pathlib.Path) -> None:
        values = dataclasses.asdict(self)
        if not self.normalize_content:  # only a choice is worth an entry
            del values["normalize_content"]
        if self.given_style is None:
            del values["given_style"]
        files.write_npz(path, **values)

    @classmethod
    def read(cls, path: pathlib.Path) -> "CodeStatistics":
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        normalize_content = bool(values.pop("normalize_content", False))
        return cls(**values, normalize_content=normalize_content)
