"""A list of artists means the same however it is written, or is an error."""

import random
import re
import time

import pytest

from helpers.artist_lists import FOLDERS, MANGA, UMLAUT, read
from tfstyle.core.cli import UserError
from tfstyle.core.names import from_path, show
from tfstyle.data.collections import spellings

ONE, TWO = {"Artist One", "artist one"}, {"Artist Two"}
CAFE = {"Caf\u00e9", "Cafe\u0301"}


@pytest.mark.parametrize(
    "content, folders",
    [
        # Tools: ls -d */, ls -F, ls -Q, ls -b, ls on a terminal, find, find -print0,
        # dir /b of Windows, PowerShell, tree, git, a file manager, a browser.
        ("Artist One/\nArtist Two/\n", ONE | TWO),
        ("Artist One@\nArtist Two/@\n", ONE | TWO),
        ('"Artist One"\n"quo\\"te"\n"Caf\\303\\251"', ONE | CAFE | {'quo"te'}),
        ("Artist\\ One\na\\nb\nback\\\\slash", ONE | {"a\nb", "back\\slash"}),
        ("'Artist One'\n'a'$'\\n''b'\n\"it's\"", ONE | {"a\nb", "it's"}),
        ("./Artist One\n./#hash\n", ONE | {"#hash"}),
        (b"./Artist One\0./a\nb\0", ONE | {"a\nb"}),
        (b"Artist Two\0Artist One\0", ONE | TWO),  # zeros at odd places only
        (b"One\0DC\0", {"One", "DC"}),
        ("漫画".encode() + b"\0One\0", {MANGA, "One"}),
        ("漫画\nOne\n".encode("utf-16-le"), {MANGA, "One"}),
        ("漫画\n".encode("utf-16-be"), {MANGA}),
        ("DC".encode("utf-16-le"), {"DC"}),
        ("Artist One\r\nArtist Two\r\n", ONE | TWO),
        ("Artist One\rArtist Two\r", ONE | TWO),
        ("\ufeffArtist One\n", ONE),
        ("Artist One\n漫画\n".encode("utf-16"), ONE | {MANGA}),
        ("Artist One\r\nCaf\u00e9\r\n".encode("utf-16-le"), ONE | CAFE),
        ("Artist Two\n".encode("utf-16-be"), TWO),
        ("Artist Two\n".encode("utf-32"), TWO),
        ("├── Artist One\n└──\u00a0Artist Two/", ONE | TWO),
        ("file:///old/pictures/Artist%20One/\nCaf%C3%A9", ONE | CAFE),
        ("Tom &amp; Jerry", {"Tom & Jerry"}),
        ('["Artist One", "a\\nb"]', ONE | {"a\nb"}),
        ('[\n  "Artist One",\n  "Artist Two"\n]\n', ONE | TWO),
        # Paths.
        ("pictures/Artist One\n../pictures/Artist Two/", ONE | TWO),
        ("/old/disk/Artist One\n~/art/Artist Two", ONE | TWO),
        ("C:\\art\\Artist One\\\n\\\\server\\share\\Artist Two", ONE | TWO),
        # By hand.
        ("  ARTIST ONE  \n\tartist  two", ONE | TWO),
        ("Ａｒｔｉｓｔ Ｔｗｏ", TWO),
        ("“Artist One”\n«Artist Two»\nit’s", ONE | TWO | {"it's"}),
        ("- Artist One\n* Artist Two\n• One\n- dash", ONE | TWO | {"One", "- dash"}),
        ("1. Artist One\n2) Artist Two\n- [x] One", ONE | TWO | {"One"}),
        ("Artist One,\nArtist Two;", ONE | TWO),
        ("Artist One # asked in May", ONE),
        ("Artist One, Artist Two", ONE | TWO),
        ('"Artist One","Artist Two"\nOne\tDC', ONE | TWO | {"One", "DC"}),
        ("trail\n山田 太郎\n100%\n[x]\n@artist",
         {"trail ", "山田\u3000太郎", "100%", "[x]", "@artist"}),
        ("Smith, John", {"Smith, John"}),
        ("cafe\u0301", CAFE),
        # Other encodings, of the list or of the folder.
        ("漫画".encode("cp932"), {MANGA}),
        ("漫画", {MANGA}),
        ("漫画".encode("euc_jp"), {MANGA}),
        ("Ärger", {UMLAUT}),
        ("ÄRGER".encode("cp850"), {UMLAUT}),
        ("Ünïcode".encode("cp1252"), {"Ünïcode"}),
        ("Ünïcode".encode("mac_roman"), {"Ünïcode"}),
        (r"\x96\x9f\x89\xe6", {MANGA}),
        # Comments.
        ("# hash\n#no\nArtist Two", TWO),
        ("#hash", {"#hash"}),
        ("#HASH/", {"#hash"}),
        ("\\#hash\n\\#", {"#hash", "#"}),
        ('"#hash"', {"#hash"}),
        ("#", {"#"}),
    ],
)  # fmt: skip
def test_every_line_means_its_folder_and_all_twins(collection, content, folders):
    assert read(collection, content).folders == folders


@pytest.mark.parametrize(
    "line, nearest",
    [
        ("Artst One", "Artist One"),
        ("Cafe", "Caf"),
        ("Artist One/0001.png", "Artist One"),
        ("Artist One/sub/", "Artist One"),
        ("{root}/Artist One/sub", "Artist One"),
        ("AC/DC", "AC_DC"),  # or DC: the user decides
        ("Smith,John", "Smith"),
        ("John, Smith", "Smith"),
        ("Artist One\tasked", "Artist One"),
        ("Artist One, nobody else", "Artist One"),
        ("drwxr-xr-x 2 a b 4096 May 1 12:00 Artist Two", "Artist Two"),
        ("4.0K\t./Artist Two", "Artist Two"),
        ("https://example.org/Artist Two", "Artist Two"),
        ("Artist One/..", "Artist One"),
        ("Artist*", "@artist"),
        ("no.txt", ""),
        ("..", None),
        ("/", None),
        ("x/" * 3000, ""),
        ("\x1b[2J", ""),
    ],
)
def test_a_line_without_a_folder_is_an_error_that_names_the_nearest(
    collection, line, nearest
):
    with pytest.raises(UserError) as error:
        read(collection, f"Artist Two\n{line.format(root=collection)}\n")

    message = str(error.value)
    assert "list, line 2: '" in message
    assert (f"the nearest is '{nearest}" in message) == (nearest is not None)
    assert message.isprintable() and len(message) < 800


def test_comments_are_told_apart_from_names(collection):
    (note,) = read(collection, "# asked\n").notes
    assert "all lines are comments" in note
    (note,) = read(collection, "Artist Two\n#One\n").notes
    assert "line 2 is a comment, so 'One' is not left out" in note


@pytest.mark.parametrize(
    "comment, nearest",
    [
        ("#hahs", "#hash"),
        ("# Artst Two", "Artist Two"),
        ("# Artist Two asked on 3 May", "Artist Two"),
        ("#- Artist Two (3 May)", "Artist Two"),
        ("## 漫画さん", MANGA),
    ],
)
def test_a_comment_that_may_mean_a_folder_is_pointed_out(collection, comment, nearest):
    (note,) = read(collection, f"it's\n{comment}\n").notes
    assert "line 2 is a comment" in note
    assert f"the nearest is '{show(from_path(nearest))}'" in note


def test_notes_on_comments_are_cut_with_their_number(collection):
    comments = [f"# Artst Two, case {number}" for number in range(50)]
    notes = read(collection, "\n".join(["it's", *comments])).notes
    assert len(notes) == 21
    assert "30 more comments" in notes[-1]


def test_a_line_that_holds_a_folder_is_an_error_even_where_others_are_allowed(
    collection,
):
    """Somebody asked to be left out; what else the line says is not known."""
    for line, folder in (
        ("Artist Two (asked on 3 May)", "Artist Two"),
        ("by ARTIST TWO, all works", "Artist Two"),
        ("Artist_Two - 3 May", "Artist Two"),
        ("漫画さん", MANGA),
        ("Artist_Two", "Artist Two"),  # alone, but for punctuation
        ("Artist Two 2024-05-03", "Artist Two"),
        ("3 May: Artist Two", "Artist Two"),
        ("Artist Two asked by mail again", "Artist Two"),
        ("Artist Two\tasked", "Artist Two"),
        ("Artist Two  # asked", None),
        ("drwxr-xr-x 2 a b 4096 May  1 12:00 Artist Two", "Artist Two"),
    ):
        if folder is None:  # a comment behind a name is understood
            assert read(collection, line, allow_unmatched=True).folders == TWO
            continue
        with pytest.raises(UserError) as error:
            read(collection, f"DC\n{line}\n", allow_unmatched=True)
        message = str(error.value)
        assert f"'{show(line)}' matches no folder" in message
        assert f"the nearest is '{show(from_path(folder))}'" in message
        assert message.endswith("on each line, and nothing else")
    # Parts of words are not names.
    assert read(collection, "DC\nstone\n", allow_unmatched=True).folders == {"DC"}


def test_a_shared_list_may_name_artists_of_other_collections(collection):
    exclusions = read(collection, "Artist Two\nsomebody else\n", allow_unmatched=True)
    assert exclusions.folders == TWO
    assert "line 2: 'somebody else' matches no folder" in exclusions.notes[0]


def test_names_that_are_merely_similar_are_notes_in_a_shared_list(collection):
    """In large collections, most other names resemble some folder."""
    lines = ("Artst One", "Artistry", "Smith Anna", "Smith-Meyer", "One 2", "Zoe Smith")
    exclusions = read(
        collection, "\n".join(["Artist Two", *lines]), allow_unmatched=True
    )
    assert exclusions.folders == TWO
    assert len(exclusions.notes) == len(lines)
    for line, folder in (("Artst One", "Artist One"), ("Smith Anna", "Smith")):
        (note,) = (note for note in exclusions.notes if f"'{line}'" in note)
        assert f"'{folder}' stays in" in note


@pytest.mark.parametrize("form", ["{}/", "./{}", "{}"])
def test_a_name_with_a_line_break_may_be_written_as_it_is(collection, form):
    """As `ls -d */` writes it to a file."""
    names = ["Artist Two", "a\nb", "One"]
    text = "\n".join(map(form.format, names))
    assert read(collection, text).folders == {"Artist Two", "a\nb", "One"}
    with pytest.raises(UserError, match="line 1: 'b' matches no folder"):
        read(collection, "b\na\n")


def test_links_to_an_excluded_folder_are_twins(collection):
    (collection / "alias").symlink_to(collection / "Artist Two")
    for name in ("alias", "Artist Two"):
        assert read(collection, name).folders == {"alias", "Artist Two"}


@pytest.mark.parametrize("name", ["Artist_Two", "Artist Two (2)", "Artist Two - Copy"])
def test_a_similar_name_stays_in_and_is_pointed_out(collection, name):
    (collection / name).mkdir()
    exclusions = read(collection, "Artist Two")
    assert exclusions.folders == TWO
    assert exclusions.notes == (
        f"note: '{name}' stays in; it resembles 'Artist Two', who is left out",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("Artist Two & Ann", "Ann + artist two", "Ann;Artist Two"),
        *("Ann and Artist Two", "Artist Two feat. Ann", "Ann\uff06Artist Two"),
    ],
)
def test_works_with_an_excluded_artist_are_left_out(collection, name):
    (collection / name).mkdir()
    exclusions = read(collection, "Artist Two")
    assert exclusions.folders == {*TWO, name}
    assert exclusions.notes == (
        f"note: '{show(name)}' is left out, too: one of these artists is",
    )


def test_another_spelling_of_an_excluded_name_in_a_joint_one_stays_in(collection):
    (collection / "Artist_Two_x_Ann").mkdir()
    assert read(collection, "Artist Two").folders == TWO


def test_works_with_an_artist_of_a_shared_list_are_left_out(collection):
    """Without a folder of the artist's own."""
    (collection / "Zoe & Ann").mkdir()
    assert read(collection, "Zoe", allow_unmatched=True).folders == {"Zoe & Ann"}


@pytest.mark.parametrize(
    "name", ["Two, Artist Two", "Artist Two (old)", "Artist Twofold"]
)
def test_a_name_that_holds_an_excluded_one_is_pointed_out(collection, name):
    (collection / name).mkdir()
    exclusions = read(collection, "Artist Two")
    assert exclusions.folders == TWO
    holds = (
        f"note: '{name}' stays in; it holds the name 'Artist Two', which is left out"
    )
    assert exclusions.notes == ((holds,) if "fold" not in name else ())


def test_a_letter_of_another_script_is_pointed_out(collection):
    """Cyrillic a, in the folder or in the list."""
    looks = "\u0410rtist Tw\u043e"
    (collection / looks).mkdir()
    (note,) = read(collection, "Artist Two").notes
    assert note.startswith(f"note: '{looks}' stays in; it resembles 'Artist Two'")
    with pytest.raises(UserError, match="the nearest is 'One'"):
        read(collection, "\u041ene")


def test_a_line_may_name_a_folder_inside_that_of_an_artist(collection):
    (collection / "Artist Two" / "Dora").mkdir()
    exclusions = read(collection, "Dora\n")
    assert not exclusions.folders and not exclusions.notes
    assert "dora" in exclusions.keys
    with pytest.raises(UserError, match="line 2: 'Doro' matches no folder"):
        read(collection, "Dora\nDoro\n")


def test_folders_that_look_alike_are_pointed_out(collection):
    notes = spellings.describe_twins(str(collection), FOLDERS)
    assert [note.rpartition(": ")[2] for note in notes] == [
        "'Artist One' and 'artist one'",
        r"'Caf\u00e9' and 'Cafe\u0301'",
    ]


def test_long_lists_of_other_names_take_seconds(tmp_path):
    """Comparing all pairs took minutes for these, and hours for 20,000 lines."""
    rng = random.Random(1)
    parts = re.findall("..", "kamiroshitanakoyuharisatonemokisuleevanberson")

    def invent() -> str:
        first, last = ("".join(rng.choices(parts, k=k)).title() for k in (3, 2))
        return f"{first} {last}"

    folders = sorted({invent() for _ in range(1000)})
    others = sorted({invent() for _ in range(4000)} - {*folders})
    for folder in folders:
        (tmp_path / "in" / folder).mkdir(parents=True)
    start = time.monotonic()

    exclusions = read(
        tmp_path / "in", "\n".join([folders[7], *others]), allow_unmatched=True
    )

    assert time.monotonic() - start < 30
    assert exclusions.folders == {folders[7]}
    assert len(exclusions.notes) < 40
    similar = sum("stays in; it is similar" in note for note in exclusions.notes)
    counts = [int(note.split()[1]) for note in exclusions.notes if " more " in note]
    unlike = len(exclusions.notes) - similar - len(counts)
    assert similar == 20 and similar + unlike + sum(counts) == len(others)


def test_a_path_may_begin_with_another_name_of_the_input(collection):
    """As that of the archive that the folders are unpacked from."""
    for line in ("works.zip/Artist Two", "works/Artist Two/"):
        assert read(
            collection, line, names_of_input=["works.zip", "works"]
        ).folders == (TWO)
        with pytest.raises(UserError, match="matches no folder"):
            read(collection, line)


def test_keys_of_lines_reach_folders_that_only_exist_elsewhere(collection):
    exclusions = read(
        collection, "Artist Two\n- 'Nobody  Here'\n", allow_unmatched=True
    )
    assert {"artist two", "nobody here"} <= exclusions.keys
