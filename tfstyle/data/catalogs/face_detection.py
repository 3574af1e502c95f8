"""Faces in drawings, found by AnimeFace 2009 or by a cascade of OpenCV.

AnimeFace (package `animeface`, extra `faces`) finds faces within 30 degrees of upright,
from 42 pixels to three quarters of the picture's shorter side. So pictures are reduced
if they are large, get a margin for close-ups, and are tried in rotated copies.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.core import cli
from tfstyle.core.cli import UserError
from tfstyle.data.pictures.faces import Face, cut_face

# Of the shorter side, on each side of the picture.
_MARGIN = 0.25
# Two detections are of one face if their centers are nearer than this share of a side.
_SAME_FACE = 0.5
# Difference in likelihood of detections that are equally good.
_ALIKE = 0.03
# A face is searched again in a square so many times as wide, of so many pixels.
_LEVEL_WIDTH, _LEVEL_SIZE = 2.5, 200
_TEST_SIZE = 160  # of the picture that a detector must find a face in


@dataclasses.dataclass(frozen=True)
class DetectedFace:
    """A face with the detector's confidence, 0 to 1; None for a cascade."""

    face: Face
    likelihood: float | None = None


class Detector(Protocol):
    """Finds faces that are nearly upright."""

    def find(self, image: Image.Image) -> list[DetectedFace]:
        """Find faces in an RGB picture."""


@dataclasses.dataclass(frozen=True)
class Search:
    """How pictures are searched; the fields are flags of tools/detect_faces.py.

    Attributes:
        max_side: larger pictures are reduced to this many pixels for the detection.
        tilts: rotations in degrees, of the copies that are tried.
        min_likelihood: faces below are left out.
        widen: side of the square to cut out, relative to the detector's box, which ends
            at chin and forehead.
        raise_by: shift of the square towards the hair, relative to the box.
    """

    max_side: int = 1000
    tilts: tuple[int, ...] = (0, 50, -50)
    min_likelihood: float = 0.5
    widen: float = 1.7
    raise_by: float = 0.1

    def find_faces(self, image: Image.Image, detector: Detector) -> list[DetectedFace]:
        """Find all faces of an RGB picture, the most likely first, widened."""
        scale = min(1.0, self.max_side / max(image.size))
        width, height = (max(1, round(side * scale)) for side in image.size)
        size = width, height
        reduced = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        margin = math.ceil(_MARGIN * min(size))
        padded = Image.new("RGB", (width + 2 * margin, height + 2 * margin), "white")
        padded.paste(reduced, (margin, margin))
        found: list[DetectedFace] = []
        for tilt in self.tilts:
            # Corners are white, like the margin.
            rotated = padded.rotate(-tilt, expand=True, fillcolor="white")
            found += [
                _rotate_back(detected, tilt, rotated.size, padded.size)
                for detected in detector.find(rotated)
                if _confidence(detected) >= self.min_likelihood
            ]
        to_original = image.width / width
        return [
            self._widen(_level(padded, candidates, detector), margin, to_original)
            for candidates in _group_by_face(found)
        ]

    def _widen(self, detected: DetectedFace, margin: int, scale: float) -> DetectedFace:
        """Return the square to cut out, in pixels of the picture as it is."""
        face = detected.face
        side = face.side * self.widen
        angle = math.radians(face.angle)
        x, y = face.center
        x -= face.side * self.raise_by * math.sin(angle)
        y -= face.side * self.raise_by * math.cos(angle)
        left, top = x - side / 2 - margin, y - side / 2 - margin
        left, top, side = (round(scale * value, 1) for value in (left, top, side))
        wide = Face(left, top, side, side, round(face.angle, 1))
        return dataclasses.replace(detected, face=wide)


class AnimeFaceDetector:
    """AnimeFace 2009, with the angle of the eyes."""

    def __init__(self) -> None:
        need = "without --cascade, face detection needs the package animeface"
        with cli.importing_extra(need, "faces"):
            import animeface
        self._detect = animeface.detect

    def find(self, image: Image.Image) -> list[DetectedFace]:
        """Find faces from 42 pixels to 75 % of the picture's shorter side."""
        return [
            DetectedFace(
                Face(
                    *(face.face.pos.x, face.face.pos.y),
                    *(face.face.pos.width, face.face.pos.height),
                    angle=_measure_tilt(face),
                ),
                round(float(face.likelihood), 4),
            )
            for face in self._detect(image)
        ]


class CascadeDetector:
    """A cascade of OpenCV, such as lbpcascade_animeface.xml; it knows no likelihood."""

    def __init__(self, path: str) -> None:
        with cli.importing_extra("--cascade needs OpenCV", "cascade"):
            import cv2
        self._cv2 = cv2
        try:
            self._cascade = cv2.CascadeClassifier(path)
        except cv2.error:
            self._cascade = None
        if self._cascade is None or self._cascade.empty():
            raise UserError(f"--cascade={path} is not a cascade of OpenCV")

    def find(self, image: Image.Image) -> list[DetectedFace]:
        """Find faces of 24 pixels or more."""
        gray = self._cv2.equalizeHist(np.asarray(image.convert("L")))
        boxes = self._cascade.detectMultiScale(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)
        )
        return [DetectedFace(Face(*map(float, box))) for box in boxes]


def make_detector(cascade: str | None = None) -> Detector:
    """Make a detector, and try AnimeFace on a face drawn for it.

    Raises:
        UserError: a package is missing or finds no face. AnimeFace reads Pillow's
            memory, and from Pillow 12 on finds none in any picture.
    """
    if cascade is not None:
        return CascadeDetector(cascade)
    detector = AnimeFaceDetector()
    if not detector.find(draw_test_face(_TEST_SIZE)):
        raise UserError(
            "animeface finds no face in a picture made of one; it needs Pillow below"
            f" 12, and this is Pillow {Image.__version__}:"
            f" {cli.show_installation('faces')}"
        )
    return detector


def use_one_processor(number: int) -> None:
    """Keep this process on one processor; AnimeFace starts a thread on each it sees."""
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number % len(processors)]})


def draw_test_face(size: int) -> Image.Image:
    """Draw a face that AnimeFace finds, RGB [size, size]."""
    scale = 4 * size / 100  # of coordinates in percent; reduced for smooth edges
    image = Image.new("RGB", (4 * size, 4 * size), "#dfe8f0")
    draw = ImageDraw.Draw(image)
    hair, skin, dark = "#7a4a2a", "#fbe0cc", "#301810"

    def ellipse(x: float, y: float, width: float, height: float, color: str) -> None:
        box = (x - width, y - height, x + width, y + height)
        draw.ellipse([scale * value for value in box], color)

    def polygon(points: Sequence[tuple[float, float]], color: str) -> None:
        draw.polygon([(scale * x, scale * y) for x, y in points], color)

    def line(points: Sequence[tuple[float, float]], color: str, width: float) -> None:
        at = [(scale * x, scale * y) for x, y in points]
        draw.line(at, color, max(1, round(scale * width)))

    ellipse(50, 46, 34, 36, hair)
    polygon([(16, 46), (84, 46), (84, 90), (16, 90)], hair)
    polygon([(43, 74), (57, 74), (57, 100), (43, 100)], "#f0cbb4")
    cheeks = [(25, 40), (75, 40), (75, 58), (66, 74), (50, 85), (34, 74), (25, 58)]
    polygon(cheeks, skin)
    ellipse(50, 46, 25, 20, skin)
    for x in (38, 62):
        lid = [(x - 9, 49), (x - 5, 45.5), (x + 5, 45.5), (x + 9, 49)]
        line(lid, dark, 1.8)
        ellipse(x, 55, 7, 8.5, "white")
        ellipse(x, 55.5, 5.2, 8, "#3b5fa8")
        ellipse(x, 56, 3, 5, "#101830")
        ellipse(x - 2, 52, 1.8, 2.2, "white")
        line([(x - 7, 40), (x, 38.5), (x + 7, 40)], hair, 1)
    line([(50, 66), (49, 68.5)], "#c98f78", 0.9)
    line([(45.5, 75), (50, 76.5), (54.5, 75)], "#b04a4a", 1)
    fringe = [(22, 44), (30, 22), (50, 16), (70, 22), (78, 44), (70, 36), (62, 42)]
    fringe += [(56, 32), (48, 42), (42, 33), (34, 43), (30, 36)]
    polygon(fringe, hair)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _measure_tilt(face: Any) -> float:
    """Return the angle of the line through the eyes, degrees counter-clockwise."""
    centers = []
    for eye in (face.right_eye, face.left_eye):  # the viewer's left one first
        if not eye.pos.width or not eye.pos.height:
            return 0.0
        centers.append((eye.pos.x + eye.pos.width / 2, eye.pos.y + eye.pos.height / 2))
    (x, y), (other_x, other_y) = centers
    return math.degrees(math.atan2(y - other_y, other_x - x))


def _rotate_back(
    detected: DetectedFace,
    tilt: float,
    size: tuple[int, int],
    original_size: tuple[int, int],
) -> DetectedFace:
    """Return a face of a copy that was rotated clockwise by `tilt`, as in the original.

    Boxes keep their size and are given unrotated, about the same center.
    """
    face, angle = detected.face, math.radians(tilt)
    right, down = (a - b / 2 for a, b in zip(face.center, size, strict=True))
    x = right * math.cos(angle) + down * math.sin(angle) + original_size[0] / 2
    y = down * math.cos(angle) - right * math.sin(angle) + original_size[1] / 2
    left, top = x - face.width / 2, y - face.height / 2
    back = Face(left, top, face.width, face.height, face.angle + tilt)
    return dataclasses.replace(detected, face=back)


def _confidence(detected: DetectedFace) -> float:
    return 1.0 if detected.likelihood is None else detected.likelihood


def _group_by_face(found: Iterable[DetectedFace]) -> list[list[DetectedFace]]:
    """Put detections of one face together, the most likely first."""
    groups: list[list[DetectedFace]] = []
    for detected in sorted(found, key=_confidence, reverse=True):
        face = detected.face
        for group in groups:
            other = group[0].face
            distance = math.dist(face.center, other.center)
            if distance < _SAME_FACE * max(face.side, other.side):
                group.append(detected)
                break
        else:
            groups.append([detected])
    return groups


def _level(
    image: Image.Image, candidates: Sequence[DetectedFace], detector: Detector
) -> DetectedFace:
    """Choose the detection whose angle holds, and correct it.

    The eyes of a strongly tilted face are found too level. So each candidate is cut out
    upright and searched again: the right one has level eyes there. Clearly less likely
    candidates are accidents.
    """
    best, least = candidates[0], math.inf
    for candidate in candidates:
        if _confidence(candidate) < _confidence(candidates[0]) - _ALIKE:
            continue
        face = candidate.face
        (x, y), side = face.center, _LEVEL_WIDTH * face.side
        square = Face(x - side / 2, y - side / 2, side, side, face.angle)
        again = [
            _rotate_back(each, face.angle, (_LEVEL_SIZE,) * 2, (_LEVEL_SIZE,) * 2)
            for each in detector.find(cut_face(image, square, _LEVEL_SIZE))
        ]
        again.sort(key=lambda each: math.dist(each.face.center, (_LEVEL_SIZE / 2,) * 2))
        if not again or abs(again[0].face.angle - face.angle) >= least:
            continue
        nearest, scale = again[0].face, side / _LEVEL_SIZE
        least = abs(nearest.angle - face.angle)
        place = (
            x - side / 2 + scale * nearest.left,
            y - side / 2 + scale * nearest.top,
        )
        size = (scale * nearest.width, scale * nearest.height)
        corrected = Face(*place, *size, angle=nearest.angle)
        best = dataclasses.replace(candidate, face=corrected)
    return best
