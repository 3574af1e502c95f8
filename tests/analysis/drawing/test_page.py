"""The report as a browser parses it."""

from html.parser import HTMLParser

import numpy as np
import pytest

from tfstyle.analysis.drawing.page import Picture, Section, write_report


class Page(HTMLParser):
    """Collects tags with their attributes, and the text of each kind of tag."""

    VOID = {"meta", "img"}

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.setdefault(self.open[-1], []).append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(tmp_path, *sections, title="Report"):
    write_report(tmp_path / "report.html", title, sections)
    return Page(tmp_path / "report.html")


def test_text_is_escaped_and_split_into_paragraphs(tmp_path):
    page = page_of(
        tmp_path,
        Section("<b>A & B</b>", "one <i>\n\n\n two\nlines "),
        title="styles </title> & more",
    )
    assert page.texts["h2"] == ["<b>A & B</b>"]
    assert page.texts["p"] == ["one <i>", "two\nlines"]
    assert page.texts["h1"] == page.texts["title"] == ["styles </title> & more"]


def test_nothing_invisible_is_on_the_page(tmp_path):
    name = "\udc8a\x1b[2J\x9b\u202e<script>"
    page = page_of(
        tmp_path,
        Section(name, f"{name}\nsecond line", table=[["artist"], [name]]),
        title=name,
    )
    text = (tmp_path / "report.html").read_text("utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    shown = r"\x8a\x1b[2J\u009b\u202e<script>"
    assert page.texts["h1"] == page.texts["h2"] == page.texts["td"] == [shown]
    assert page.texts["p"] == [f"{shown}\nsecond line"]


def test_numbers_are_short_and_missing_values_are_dashes(tmp_path):
    page = page_of(
        tmp_path,
        Section(
            "Numbers",
            table=[
                ["<measure>", "value"],
                ["accuracy", 0.981234],
                ["images", np.int64(417000)],
                ["distance", np.float32(123456.7)],
                ["dead", float("nan")],
                ["absent", None],
            ],
        ),
    )
    assert page.texts["th"] == ["<measure>", "value"]
    assert page.texts["td"][1::2] == ["0.9812", "417,000", "123,457", "–", "–"]
    classes = [cell.get("class") for cell in page.attributes("td")]
    assert classes == [None, "number"] * 5


def test_booleans_are_words_not_numbers(tmp_path):
    page = page_of(tmp_path, Section("Booleans", table=[["finished"], [True]]))
    assert page.texts["td"] == ["True"]


def test_a_second_table_has_its_own_columns(tmp_path):
    page = page_of(
        tmp_path,
        Section("Two", table=[["a", "b"], [1, 2]], more=[["c"], [3]]),
    )
    assert page.texts["th"] == ["a", "b", "c"]
    assert page.texts["td"] == ["1", "2", "3"]
    assert len(page.attributes("table")) == 2


def test_a_table_of_unequal_rows_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=r"'Odd'.*\[1, 2\]"):
        page_of(tmp_path, Section("Odd", table=[["a", "b"], [1]]))
    assert not list(tmp_path.iterdir())


def test_pictures_are_relative_links_to_their_files(tmp_path):
    (tmp_path / "figures").mkdir()
    beside = tmp_path / "figure 1 #2.png"
    below = tmp_path / "figures" / "b.png"
    beside.touch()
    below.touch()
    page = page_of(
        tmp_path,
        Section(
            "Pictures",
            pictures=[
                Picture(beside.name, 'says "a" < b'),
                Picture(str(below), "caption", alt="three faces"),
            ],
        ),
    )
    images = page.attributes("img")
    assert [i["src"] for i in images] == ["figure%201%20%232.png", "figures/b.png"]
    assert [i["alt"] for i in images] == ['says "a" < b', "three faces"]
    assert page.texts["figcaption"] == ['says "a" < b', "caption"]


def test_a_missing_picture_is_an_error_that_keeps_the_old_report(tmp_path):
    page_of(tmp_path, title="old")
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        page_of(tmp_path, Section("x", pictures=[Picture("gone.png", "c")]))
    assert Page(tmp_path / "report.html").texts["h1"] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_top_links_to_every_section(tmp_path):
    page = page_of(tmp_path, Section("First"), Section("Second"))
    targets = ["#" + s["id"] for s in page.attributes("section")]
    assert [a["href"] for a in page.attributes("a")] == targets
    assert page.texts["a"] == page.texts["h2"] == ["First", "Second"]
    assert len(set(targets)) == 2


def test_a_single_section_needs_no_links(tmp_path):
    assert not page_of(tmp_path, Section("Only")).attributes("nav")


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    page = page_of(tmp_path, Section("A", "text"), Section("B"))
    assert not {"link", "script", "iframe"} & {tag for tag, _ in page.tags}
    text = (tmp_path / "report.html").read_text()
    assert "http" not in text and "url(" not in text and "@import" not in text
