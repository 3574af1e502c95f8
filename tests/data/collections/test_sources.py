import pytest

from helpers.pictures import make_pictures
from tfstyle.data.collections import sources


@pytest.mark.parametrize(
    "folders, nested",
    [
        (["old/a", "old/b", "new/c", "new/d"], True),
        (["old/a", "old/b/inner", "new/c", "new/d"], True),
        ([f"{k}/{artist}" for k in range(9) for artist in "ab"] + ["9/a"], True),
        (["old/a", "old/b", "new/c"], False),  # a single subfolder is no group
        (["old/a", "old/b", "new/c", "new/d", "new"], False),
        (["a", "b"], False),
    ],
)
def test_folders_of_artist_folders_are_noted(tmp_path, folders, nested):
    for folder in folders:
        make_pictures(tmp_path / "in put", [folder], count=1)
    input_dir = str(tmp_path / "in put")
    note = sources.describe_nesting(
        input_dir, sources.scan_artist_folders(input_dir)[0]
    )

    assert (note is not None) == nested
    if note:
        assert "Each outer folder counts as one artist" in note
        assert f"cp -r '{tmp_path}/in put'/*/* FLAT" in note


def scan(root, exclude=()):
    """Return the names of pictures, and the reasons of what is left out."""
    found, skipped = sources.scan_artist_folders(str(root), exclude)
    return {source.name for source in found}, dict(skipped)


def test_links_between_artists_are_left_to_the_owner(tmp_path):
    """b links to a folder of a, to all of the input, and to a folder outside."""
    root = make_pictures(tmp_path / "in", ["a", "a/inner", "b"], count=1)
    make_pictures(tmp_path, ["outside"], count=1)
    (root / "b" / "theirs").symlink_to(root / "a" / "inner")
    (root / "b" / "all").symlink_to(root)
    (root / "b" / "more").symlink_to(tmp_path / "outside")
    (root / "c").symlink_to(root / "a")
    (root / "d").symlink_to("..")
    (root / "e").symlink_to(tmp_path / "outside")

    names, skipped = scan(root)

    assert names == {
        *("a/0.png", "a/inner/0.png", "b/0.png", "e/0.png"),
    }
    assert skipped == {
        "b/theirs/": "other_artists_folder",
        "b/all/": "repeated_folder",
        "b/more/": "other_artists_folder",
        "c/": "repeated_folder",
        "d/": "repeated_folder",
    }


def test_nothing_of_an_excluded_artist_comes_in_by_another_way(tmp_path):
    root = make_pictures(tmp_path / "in", ["a", "a/inner", "b"], count=2)
    (root / "alias").symlink_to(root / "a" / "inner")
    (root / "b" / "folder").symlink_to(root / "a")
    (root / "b" / "file.png").symlink_to(root / "a" / "1.png")
    (root / "b" / "hard.png").hardlink_to(root / "a" / "0.png")
    (root / "b" / "copy.png").write_bytes((root / "a" / "1.png").read_bytes())
    (root / "a" / "friend").symlink_to(root / "b")

    names, skipped = scan(root, {"a"})

    assert names == {"b/0.png", "b/1.png"}
    assert skipped == {
        **dict.fromkeys(("a/0.png", "a/1.png"), "excluded_artist"),
        **dict.fromkeys(("a/inner/0.png", "a/inner/1.png"), "excluded_artist"),
        "a/friend/": "other_artists_folder",
        **dict.fromkeys(("alias/0.png", "alias/1.png"), "excluded_artist"),
        **dict.fromkeys(("b/folder/", "b/file.png"), "excluded_artist"),
        **dict.fromkeys(("b/hard.png", "b/copy.png"), "copy_of_excluded"),
    }


def test_an_excluded_artists_folder_is_not_entered_from_above(tmp_path):
    """a is a link to outside/a, b has a link to outside."""
    make_pictures(tmp_path / "outside", ["a", "free"], count=1)
    root = make_pictures(tmp_path / "in", ["b"], count=1)
    (root / "a").symlink_to(tmp_path / "outside" / "a")
    (root / "b" / "all").symlink_to(tmp_path / "outside")

    assert scan(root, {"a"}) == (
        {"b/0.png", "b/all/free/0.png"},
        dict.fromkeys(("a/0.png", "b/all/a/"), "excluded_artist"),
    )
    assert scan(root)[1] == {"b/all/a/": "other_artists_folder"}


def test_what_is_left_out_is_noted(tmp_path):
    root = make_pictures(tmp_path / "in", ["a", "b", "@eaDir", ".git", ""], count=1)
    (root / "a" / "@eaDir").mkdir()
    (root / "empty\n").mkdir()
    (root / "texts").mkdir()
    (root / "texts" / "notes.txt").touch()
    (root / "link").symlink_to(root / "a")
    found, skipped = sources.scan_artist_folders(str(root))

    assert sources.describe_left_out(str(root), found, skipped) == [
        "note: 1 pictures beside the artist folders are skipped: 0.png",
        "note: 1 hidden folders are left out: .git/",
        "note: 2 folders of the system are left out: @eaDir/, a/@eaDir/",
        "note: 1 links lead to folders that are counted already: link/",
        "note: 2 folders hold no pictures: empty\\n, texts",
    ]
    assert dict(skipped) == {
        "0.png": "beside_artists",
        ".git/": "hidden",
        "@eaDir/": "system_folder",
        "a/@eaDir/": "system_folder",
        "link/": "repeated_folder",
        "texts/notes.txt": "not_a_picture",
    }


def test_inner_folders_of_an_excluded_name_are_out(tmp_path):
    """With copies of their files; folders that merely hold the name stay."""
    for folder in ("Bob", "Carl/BOB ", "Carl/x/Bob", "Carl/Bobby", "Dora"):
        make_pictures(tmp_path, [folder], count=1)
    inner = tmp_path / "Carl" / "BOB " / "0.png"
    (tmp_path / "Dora" / "copy.png").write_bytes(inner.read_bytes() + b"!")
    inner.write_bytes(inner.read_bytes() + b"!")

    found, skipped = sources.scan_artist_folders(str(tmp_path), {"Bob"}, {"bob"})

    assert [source.name for source in found] == ["Carl/Bobby/0.png", "Dora/0.png"]
    assert dict(skipped) == {
        "Bob/0.png": sources.EXCLUDED,
        "Carl/BOB /0.png": sources.INNER,
        "Carl/x/Bob/0.png": sources.INNER,
        "Dora/copy.png": sources.COPIED,
    }
    (note,) = sources.describe_inner(skipped, {"bob"})
    assert "2 pictures" in note and "Carl/BOB /, Carl/x/Bob/" in note
    works = sources.list_excluded(str(tmp_path), skipped)
    assert {work.name for work in works} == {
        "Bob/0.png",
        "Carl/BOB /0.png",
        "Carl/x/Bob/0.png",
    }
