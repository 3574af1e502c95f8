"""The error of an unusable picture, and the check of its size."""

from collections.abc import Callable

# Called with width, height, and the bits of a pixel in the file, before pixels are
# read. Raises PictureError if the picture is too small, or would need too much memory.
SizeCheck = Callable[[int, int, int], None]


class PictureError(ValueError):
    """An unusable picture.

    Attributes:
        reason: "not_a_picture", "unsupported", "too_small", "too_large", "truncated",
            "face_outside" or "unreadable".
        detail: an explanation of the reason.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
