"""Loops visit every style and close; GIFs show their pictures."""

import numpy as np
import pytest
from PIL import Image

from tfstyle.analysis.drawing import animation

CORNERS = np.array([[0.0, 0], [4, 0], [4, 8]])


def test_a_loop_visits_each_style_and_does_not_repeat_the_first():
    """12 frames for 3 styles: each style and 3 frames on the way to the next."""
    codes, nearest = animation.interpolate_loop(CORNERS, 12)

    assert codes.shape == (12, 2)
    np.testing.assert_allclose(codes[[0, 4, 8]], CORNERS)
    assert nearest.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0]


def test_a_loop_slows_down_at_each_style():
    """t^2 (3 - 2 t) at 1/4, 1/2, 3/4: 5/32, 1/2, 27/32, in either direction."""
    codes, _ = animation.interpolate_loop(CORNERS[:2], 8)

    eased = np.array([0, 5 / 32, 1 / 2, 27 / 32])
    np.testing.assert_allclose(codes[:, 0], 4 * np.concatenate([eased, 1 - eased]))


@pytest.mark.parametrize("frames", [3, 4, 5, 7, 48])
def test_a_loop_of_any_length_visits_each_style(frames):
    codes, nearest = animation.interpolate_loop(CORNERS, frames)

    assert len(codes) == len(nearest) == frames
    for number, corner in enumerate(CORNERS):
        (frame,) = np.flatnonzero((codes == corner).all(axis=1))
        assert nearest[frame] == number


def test_a_loop_of_a_single_style_is_constant():
    codes, nearest = animation.interpolate_loop(CORNERS[2:], 5)

    np.testing.assert_array_equal(codes, np.tile(CORNERS[2], [5, 1]))
    assert not nearest.any()


def test_a_loop_shorter_than_its_styles_is_an_error():
    with pytest.raises(ValueError, match="3 styles need as many frames, got 2"):
        animation.interpolate_loop(CORNERS, 2)


def test_a_gif_shows_each_picture_enlarged_above_its_caption(tmp_path):
    """Pictures of 100 become 300 wide: the least multiple of at least 256."""
    levels = np.array([0, 90, 180], np.uint8)
    pictures = np.zeros([3, 100, 100, 3], np.uint8) + levels[:, None, None, None]
    pictures[:, :50, 50:] = [255, 0, 0]

    animation.write_gif(tmp_path / "new" / "a.gif", pictures, ["a", "b", "c"])

    with Image.open(tmp_path / "new" / "a.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (3, 0)
        captions = []
        for number, picture in enumerate(pictures):
            gif.seek(number)
            assert gif.info["duration"] == 80
            frame = np.asarray(gif.convert("RGB"), int)
            assert frame.shape[1] == 300
            expected = picture.repeat(3, axis=0).repeat(3, axis=1)
            assert np.abs(frame[:300] - expected).max() <= 8  # of 256 colors
            captions.append(frame[300:])
    assert all((caption < 99).any() for caption in captions)
    assert (captions[0] != captions[1]).any()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gif"]


def test_an_interrupted_gif_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    path.write_bytes(b"older")
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        animation.write_gif(path, np.zeros([1, 8, 8, 3], np.uint8), [""])

    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
