"""Faces drawn where they must be found: tilted, close up, small, and in crowds."""

import math
import sys

import pytest
from PIL import Image

from tfstyle.core.cli import UserError
from tfstyle.data.catalogs import face_detection
from tfstyle.data.catalogs.face_detection import DetectedFace, Search, draw_test_face
from tfstyle.data.pictures.faces import Face

# Of the drawn face, relative to its picture: the middle between its eyes, the distance
# of which is .24.
EYES = (0.5, 0.55)


@pytest.fixture(scope="module")
def detector():
    return face_detection.make_detector()


def place_face(size, face_size, center, tilt=0):
    """Draw a face on white with the middle of its picture at `center`."""
    face = draw_test_face(face_size).convert("RGBA")
    face = face.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    picture = Image.new("RGBA", size, "white")
    corner = [round(c - s / 2) for c, s in zip(center, face.size, strict=True)]
    picture.alpha_composite(face, tuple(corner))
    return picture.convert("RGB")


def locate_eyes(face_size, center, tilt):
    """Return the middle between the eyes of a face that was drawn tilted."""
    down = face_size * (EYES[1] - 0.5)
    angle = math.radians(tilt)
    return center[0] + down * math.sin(angle), center[1] + down * math.cos(angle)


@pytest.mark.parametrize(
    ("size", "face_size", "tilt"),
    [
        ((400, 300), 150, 0),
        ((400, 300), 150, 20),
        ((400, 300), 150, 60),
        ((400, 300), 150, -70),
        ((160, 160), 160, 0),  # fills the picture
        ((1800, 2600), 700, 0),  # reduced before it is searched
    ],
)
def test_a_face_is_found_where_it_is_with_its_tilt(detector, size, face_size, tilt):
    center = size[0] / 2, size[1] / 2
    picture = place_face(size, face_size, center, tilt)

    (detected,) = Search(raise_by=0.0, widen=1.0).find_faces(picture, detector)

    face = detected.face
    assert detected.likelihood > 0.9
    assert face.angle == pytest.approx(tilt, abs=6)
    assert 0.3 < face.side / face_size < 0.7
    eyes = locate_eyes(face_size, center, tilt)
    assert math.dist(face.center, eyes) < 0.2 * face_size


def test_two_faces_are_two_and_each_only_once(detector):
    """In three copies of the picture that are searched."""
    picture = place_face((500, 260), 150, (120, 130))
    picture.paste(draw_test_face(150), (300, 60))
    found = Search().find_faces(picture, detector)
    centers = sorted(detected.face.center[0] for detected in found)
    assert centers == pytest.approx([120, 375], abs=25)


def test_the_square_is_widened_and_raised_along_the_tilt(detector):
    picture = place_face((400, 300), 150, (200, 150), tilt=60)
    (narrow,) = Search(widen=1.0, raise_by=0.0).find_faces(picture, detector)
    (wide,) = Search(widen=2.0, raise_by=0.25).find_faces(picture, detector)
    side, angle = narrow.face.side, math.radians(narrow.face.angle)
    assert wide.face.side == pytest.approx(2 * side, abs=0.2)
    x, y = narrow.face.center
    expected = x - 0.25 * side * math.sin(angle), y - 0.25 * side * math.cos(angle)
    assert wide.face.center == pytest.approx(expected, abs=0.3)


def test_a_picture_without_a_face_has_none(detector):
    picture = Image.linear_gradient("L").resize((300, 300)).convert("RGB")
    assert Search().find_faces(picture, detector) == []
    tiny = Image.new("RGB", (1, 1), "red")
    assert Search().find_faces(tiny, detector) == []


def test_unlikely_faces_are_left_out():
    class Unsure:
        def find(self, image):
            return [DetectedFace(Face(10, 10, 50, 50), 0.4)]

    picture = Image.new("RGB", (200, 200))
    assert Search(tilts=(0,)).find_faces(picture, Unsure()) == []
    patient = Search(tilts=(0,), min_likelihood=0.3)
    assert len(patient.find_faces(picture, Unsure())) == 1


@pytest.mark.parametrize(
    ("package", "extra", "cascade"),
    [("animeface", "faces", None), ("cv2", "cascade", "cascade.xml")],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch, package, extra, cascade
):
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"{package}.* pip install -c tools/constraints.txt '\.\[{extra}\]'$"
    with pytest.raises(UserError, match=words):
        face_detection.make_detector(cascade)


def test_a_file_that_is_no_cascade_is_an_error(tmp_path):
    pytest.importorskip("cv2")
    path = tmp_path / "cascade.xml"
    path.write_text("<xml/>")
    with pytest.raises(UserError, match="is not a cascade"):
        face_detection.make_detector(str(path))
