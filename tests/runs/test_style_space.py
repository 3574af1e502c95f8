"""Artists are looked up, mixed and searched; enrolled artists are stored and read."""

import numpy as np
import pytest

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.runs.style_space import ArtistStyles, Enrolled, read_enrolled

ARTISTS = ArtistStyles(
    ["Ann", "Bob", "Smith, John", "Re:Zero", "Smith"],
    np.array([[1.0, 0], [0, 1], [4, 4], [-1, 2], [8, 8]], np.float32),
    deviation=np.array([1, 10], np.float32),
)


def test_an_artists_style_is_their_mean():
    np.testing.assert_array_equal(ARTISTS.get_style("Bob"), [0, 1])


@pytest.mark.parametrize("name", ["\udc96\udc9f", "a\nb, c", "back\\slash", "é", "z "])
def test_an_artist_is_found_by_the_name_and_by_what_is_shown(name):
    artists = ArtistStyles(["Ann", name], ARTISTS.means[:2], ARTISTS.deviation)
    for text in (name, names.show(name)):
        np.testing.assert_array_equal(artists.get_style(text), [0, 1])
        np.testing.assert_array_equal(artists.mix_styles(f"{text}:2"), [0, 1])
        assert len(artists.parse_names(f"Ann,{text}")) == 2
    with pytest.raises(UserError) as caught:
        artists.get_style("nobody")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "closest"), [("bobb", "Bob"), ("ann", "Ann"), ("ReZero", "Re:Zero")]
)
def test_an_unknown_artist_is_an_error_with_the_closest_name_first(name, closest):
    with pytest.raises(UserError) as caught:
        ARTISTS.get_style(name)

    assert f"named '{name}'; the closest names are: {closest}, " in str(caught.value)


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("Ann:1", [1, 0]),
        ("Ann:0.6,Bob:0.4", [0.6, 0.4]),
        ("Ann:3, Bob : 1", [0.75, 0.25]),  # (3 a + b) / 4
        ("Ann:1e-1,Bob:.3", [0.25, 0.75]),
        ("Ann:1,Ann:1,Bob:2", [0.5, 0.5]),
        ("Smith, John:1,Ann:1", [2.5, 2]),
        ("Ann:1,Re:Zero:1", [0, 1]),
        ("Ann:1,", [1, 0]),
        ("Ann:1e308,Bob:1e308", [0.5, 0.5]),
    ],
)
def test_a_mix_is_the_weighted_mean_whatever_the_sum_of_weights(mix, expected):
    style = ARTISTS.mix_styles(mix)

    assert style.dtype == np.float32
    np.testing.assert_allclose(style, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("mix", "got"),
    [
        ("", "''"),
        ("Ann", "'Ann'"),
        ("Ann:", "'Ann:'"),
        (":1", "':1'"),
        ("Ann:much", "'Ann:much'"),
        ("Ann:1,Bob", "'Bob'"),
        ("Ann:0,Bob:1", "'Ann:0,Bob:1'"),
        ("Ann:1,Bob:-1", "'Bob:-1'"),
        ("Ann:-1,Bob:2", "'Ann:-1,Bob:2'"),
        ("Ann:-.5e0,Bob:2", "'Ann:-.5e0,Bob:2'"),
        ("Ann:1.2.3", "'Ann:1.2.3'"),
        ("Ann:1e999", "'Ann:1e999'"),
    ],
)
def test_a_malformed_mix_is_shown_from_where_it_goes_wrong(mix, got):
    with pytest.raises(UserError) as caught:
        ARTISTS.mix_styles(mix)

    assert "NAME:WEIGHT,NAME:WEIGHT" in str(caught.value)
    assert str(caught.value).endswith(f"got {got}")


def test_an_unknown_artist_in_a_mix_is_an_error_with_the_closest_name():
    with pytest.raises(UserError, match="named 'Bo'; the closest names are: Bob"):
        ARTISTS.mix_styles("Ann:1,Bo:1")


@pytest.mark.parametrize("mix", ["Ann:x,Bob:2", "Ann:half,Smith, John:1"])
def test_an_unknown_name_with_a_colon_explains_the_form_of_a_mix(mix):
    with pytest.raises(UserError, match="no artist .*NAME:WEIGHT,NAME:WEIGHT"):
        ARTISTS.mix_styles(mix)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ann,Bob", ["Ann", "Bob"]),
        (" Bob , Ann ", ["Bob", "Ann"]),
        ("Smith, John,Smith,Re:Zero", ["Smith, John", "Smith", "Re:Zero"]),
        ("Smith", ["Smith"]),
    ],
)
def test_listed_names_may_contain_commas(text, names):
    assert ARTISTS.parse_names(text) == names


def test_an_unknown_artist_in_a_list_is_named():
    with pytest.raises(UserError, match="named 'John'"):
        ARTISTS.parse_names("Ann,John,Bob")


def test_a_style_is_chosen_by_artist_or_by_mix_or_not_at_all():
    np.testing.assert_array_equal(ARTISTS.choose_style("Bob", None), [0, 1])
    np.testing.assert_array_equal(ARTISTS.choose_style(None, "Bob:2"), [0, 1])
    assert ARTISTS.choose_style(None, None) is None


def test_the_nearest_are_found_in_the_learned_metric():
    """From (0, 0.2): to Ann |(1, -0.2) * (1, 10)| = sqrt(5), to Bob 8, others more."""
    indices, distances = ARTISTS.find_nearest(
        np.array([[0, 0.2]], np.float32), ARTISTS.means, 2
    )

    assert indices.tolist() == [[0, 1]]
    np.testing.assert_allclose(distances, [[5**0.5, 8]], rtol=1e-6)
    assert ARTISTS.find_nearest(ARTISTS.means, ARTISTS.means, 9)[0].shape == (5, 5)


def test_an_enrolled_artist_replaces_an_older_one_of_the_same_name():
    first = Enrolled.empty(2).add("Ann", np.array([1.0, 2]), 3)
    both = first.add("Bob", np.array([3.0, 4]), 5)

    replaced = both.add("Ann", np.array([5.0, 6]), 7)

    assert replaced.names == ["Bob", "Ann"]
    np.testing.assert_array_equal(replaced.means, [[3, 4], [5, 6]])
    assert replaced.means.dtype == np.float32
    np.testing.assert_array_equal(replaced.counts, [5, 7])
    assert both.remove("Bob").names == first.names
    assert len({enrolled.digest for enrolled in (first, both, replaced)}) == 3
    assert both.remove("Bob").digest == first.digest


def test_enrolled_artists_are_read_as_written_for_the_same_codes_only(tmp_path):
    path = tmp_path / "enrolled.npz"
    assert read_enrolled(path, "digest", 2)[0].names == []
    enrolled = Enrolled.empty(2).add("Zo\u00e9, new", np.array([1.0, 2]), 3)
    enrolled.write(path, "digest")

    same, none_outdated = read_enrolled(path, "digest", 2)
    others, outdated = read_enrolled(path, "other digest", 2)

    assert (same.names, none_outdated) == (enrolled.names, [])
    assert same.digest == enrolled.digest
    np.testing.assert_array_equal(same.counts, [3])
    assert (others.names, others.means.shape, outdated) == ([], (0, 2), enrolled.names)
    enrolled.remove(enrolled.names[0]).write(path, "digest")
    assert not path.exists()


def test_a_corrupt_file_of_enrolled_artists_is_an_error(tmp_path):
    path = tmp_path / "enrolled.npz"
    Enrolled.empty(2).add("Ann", np.array([1.0, 2]), 3).write(path, "digest")
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(UserError, match="enrolled.npz is corrupt .no .*: put back a"):
        read_enrolled(path, "digest", 2)
