import pytest

from tfstyle.core.cli import UserError
from tfstyle.data.collections import splits
from tfstyle.data.collections.sources import Source
from tfstyle.data.collections.splits import SplitRule, plan_splits

RULE = SplitRule(min_images_per_artist=4, min_test_images=1)


def make_sources(counts: dict[str, int]) -> list[Source]:
    return [
        Source(f"{artist}/{i}", artist, f"{artist}/{i}")
        for artist, count in counts.items()
        for i in range(count)
    ]


def plan(sources, rule=RULE, contents=None):
    return plan_splits(sources, contents or [s.name for s in sources], rule)


def test_the_copy_of_an_ambiguous_picture_is_another_artists():
    """Equal pixels twice by a, once by b and c: the first by name of another artist."""
    sources = [Source(name, name[0], name) for name in ("c/0", "a/1", "b/0", "a/0")]
    others = make_sources({"d": 6, "e": 6})

    result = plan([*sources, *others], contents=list("xxxx0123456789AB"))

    names = [source.name for source in sources]
    assert {names[i]: names[j] for i, j in result.copies.items()} == {
        "a/0": "b/0",
        "a/1": "b/0",
        "b/0": "a/0",
        "c/0": "a/0",
    }


def test_the_test_split_is_a_fraction_but_at_least_the_minimum():
    rule = SplitRule(min_images_per_artist=20, min_test_images=5)
    artists = plan(make_sources({"a": 20, "b": 54, "c": 55, "d": 200}), rule).artists
    assert [artist.test for artist in artists] == [5, 5, 6, 20]
    # A tenth of the other 15, 49, 49, 180, to the nearest, rounded up.
    assert [artist.validation for artist in artists] == [2, 5, 5, 18]
    assert [artist.train for artist in artists] == [13, 44, 44, 162]


def test_groups_and_identical_pixels_stay_on_one_side():
    sources = make_sources({"a": 40, "b": 40})
    sources = [
        # Pairs; equal pixels chain two neighboring pairs each.
        Source(s.name, s.artist, s.name, group=f"{s.artist}{i // 2}")
        for i, s in enumerate(sources)
    ]
    contents = [s.name for s in sources]
    for i in range(0, 80, 4):
        contents[i + 1] = contents[i + 2]
    for seed in range(5):
        rule = SplitRule(4, test_fraction=0.25, min_test_images=1, seed=seed)
        test = set(plan(sources, rule, contents).examples["test"])
        assert len(test) == 16  # per artist 8: the target is 10, and 12 is no nearer
        for i in range(0, 80, 4):
            assert len(test & {i, i + 1, i + 2, i + 3}) in (0, 4)


def test_validation_pictures_are_whole_groups_of_what_is_left():
    sources = [
        Source(s.name, s.artist, s.name, group=f"{s.artist}{i // 3}")
        for i, s in enumerate(make_sources({"a": 60, "b": 60}))
    ]
    rule = SplitRule(4, 0.2, 1, validation_fraction=0.25)
    examples = plan(sources, rule).examples

    # Per artist 12 of 60 to test, then 12 of 48.
    assert [len(examples[s]) for s in ("train", "validation", "test")] == [72, 24, 24]
    groups = [{sources[i].group for i in members} for members in examples.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 40


def test_works_of_one_file_stay_in_one_split_whatever_their_groups():
    """As two faces of a picture, of which one is a variant of another work."""
    sources = [
        Source(f"{s.artist}{i // 2}", s.artist, s.name, group="g" * (i % 20))
        for i, s in enumerate(make_sources({"a": 60, "b": 60}))
    ]
    examples = plan(sources, SplitRule(4, 0.2, 1)).examples
    paths = [{sources[i].path for i in members} for members in examples.values()]
    assert sum(map(len, paths)) == len(set().union(*paths)) == 60


def test_artists_whose_works_are_one_group_are_noted():
    """The other artist should have 2 of 20 test pictures, and 2 of 18 others."""
    sources = [
        Source(s.name, s.artist, s.name, group="all" if s.artist == "one" else "")
        for s in make_sources({"one": 20, "two": 20})
    ]
    rule = SplitRule(4, 0.1, 1)
    notes = splits.describe_empty_splits(plan(sources, rule).artists, rule)
    assert len(notes) == 2
    for note, split in zip(notes, ("test", "validation"), strict=True):
        assert f"no {split} pictures of 1 artist, " in note and ": one. " in note
    none = SplitRule(4, 0, 0, validation_fraction=0)
    assert not splits.describe_empty_splits(plan(sources, none).artists, none)


def test_few_works_without_validation_pictures_are_not_noted():
    """A tenth of 3 works rounds to none."""
    rule = SplitRule(4, 0.1, 1)
    result = plan(make_sources({"a": 4, "b": 4}), rule)
    assert [artist.validation for artist in result.artists] == [0, 0]
    assert not splits.describe_empty_splits(result.artists, rule)


def test_without_a_fraction_there_is_no_validation():
    rule = SplitRule(4, 0.1, 1, validation_fraction=0)

    assert plan(make_sources({"a": 20, "b": 20}), rule).examples["validation"] == []


def test_an_artist_whose_pictures_are_all_kept_from_training_is_skipped():
    rule = SplitRule(1, 0.1, 1, validation_fraction=0.9)
    result = plan(make_sources({"a": 3, "b": 20, "c": 20}), rule)

    assert [artist.name for artist in result.artists] == ["b", "c"]
    assert result.skipped == [(i, "artist_without_training") for i in range(3)]


def test_a_new_artist_does_not_move_the_pictures_of_others():
    before = make_sources({"a": 40, "c": 40})
    after = make_sources({"a": 40, "b": 40, "c": 40})
    names_before = {before[i].name for i in plan(before).examples["test"]}
    names_after = {after[i].name for i in plan(after).examples["test"]}
    assert names_before == {n for n in names_after if not n.startswith("b/")}


def test_the_seed_changes_the_split():
    sources = make_sources({"a": 40, "b": 40})
    left, right = (
        set(plan(sources, SplitRule(4, 0.1, 1, seed=seed)).examples["test"])
        for seed in (0, 1)
    )
    assert left != right


@pytest.mark.parametrize("holdout, count", [(2, 2), (0.2, 1), (0.5, 3)])
def test_held_out_artists_come_after_the_others(holdout, count):
    sources = make_sources(dict.fromkeys("abcde", 6))
    rule = SplitRule(4, 0.1, 1, holdout_artists=holdout)
    result = plan(sources, rule)
    assert len(result.holdout_artists) == count
    labels = [a.label for a in (*result.artists, *result.holdout_artists)]
    assert labels == list(range(5))
    held_out = {artist.name for artist in result.holdout_artists}
    assert {sources[i].artist for i in result.examples["holdout"]} == held_out
    for split in ("train", "test"):
        assert not held_out & {sources[i].artist for i in result.examples[split]}


def test_artists_without_a_training_picture_are_skipped():
    sources = make_sources({"a": 9, "b": 20, "c": 20})
    result = plan(sources, SplitRule(4, 0.1, min_test_images=10))
    assert [artist.name for artist in result.artists] == ["b", "c"]
    assert result.skipped == [(i, "artist_without_training") for i in range(9)]


@pytest.mark.parametrize(
    "counts, rule, words",
    [
        ({"a": 5, "b": 7}, SplitRule(8), ["8 usable", "is 7", "--min_images_per"]),
        ({"a": 5, "b": 7}, SplitRule(5), ["more than 10", "is 7", "--min_test_im"]),
        ({"a": 9, "b": 3}, RULE, ["1 artist left", "(a, 9 pictures)", "of 2 found"]),
        ({"a": 9, "b": 9}, SplitRule(4, 0.1, 1, 1), ["1 artist", "--holdout_artists"]),
    ],
)
def test_too_few_pictures_name_the_number_and_the_flag_to_change(counts, rule, words):
    with pytest.raises(UserError) as error:
        plan(make_sources(counts), rule)
    assert all(word in str(error.value) for word in words)
