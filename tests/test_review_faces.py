"""tools/review_faces.py: the page in a real browser, and what it saves."""

import json
import re
import time

import pytest
from PIL import Image

from helpers import browser, commands
from helpers.commands import read_output, tool
from tfstyle.data.catalogs import manifests

needs_browser = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"
)
LIKELIHOODS = {"ana": [0.9, 0.5, 0.7], "b & <b>en</b>": [0.6, 0.99]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of five gray levels, their manifest with two bad rows, and the page."""
    folder = tmp_path_factory.mktemp("faces")
    rows, level = [], 0
    for artist, likelihoods in LIKELIHOODS.items():
        for number, likelihood in enumerate(likelihoods):
            level += 40
            path = folder / f"{len(rows)}.png"
            Image.new("RGB", (80, 60), (level,) * 3).save(path)
            row = {"path": path.name, "artist": artist, "likelihood": likelihood}
            rows.append({**row, "box": [10, 0, 50, 50], "angle": 5 * number})
    rows.append({**rows[0], "path": "missing.png"})
    lines = [*map(json.dumps, rows), "{"]
    (folder / "faces.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def output(folder):
    return make_page(folder, "page")


def make_page(folder, name, *flags):
    manifest = f"--manifest={folder / 'faces.jsonl'}"
    return read_output(
        commands.run(
            tool("review_faces"), manifest, f"--output_dir={folder / name}", *flags
        )
    )


def test_unusable_rows_are_named(output):
    assert "unusable   row 6, missing.png: " in output
    (faulty,) = (line for line in output.splitlines() if line.startswith("faulty "))
    assert "row 7: no_json, " in faulty
    assert "faces      5 on 1 page\n" in output


def test_faces_of_excluded_artists_are_not_shown(folder):
    names = folder / "no.txt"
    names.write_text("ANA\n")

    text = make_page(folder, "others", f"--exclude_artists={names}")

    assert "faces      2 on 1 page\n" in text
    assert "ana" not in (folder / "others" / "index.html").read_text()


def test_the_least_likely_faces_of_each_artist_come_first(folder, output):
    page = (folder / "page" / "index.html").read_text()
    shown = [float(value) for value in re.findall(r'data-likelihood="([^"]*)"', page)]
    assert shown == [0.5, 0.7, 0.9, 0.6, 0.99]
    assert "b &amp; &lt;b&gt;en&lt;/b&gt; (2)" in page and "<b>en" not in page
    for crop in re.findall(r'src="([^"]*)"', page):
        with Image.open(folder / "page" / crop) as image:
            assert image.size == (112, 112)


def test_many_faces_are_on_several_pages(folder):
    output = make_page(folder, "pages\nfaces      99", "--per_page=3")
    assert "\nfaces      5 on 2 pages\n" in output
    pages = folder / "pages\nfaces      99"
    assert output.endswith(f"\npage       {folder}/pages\\nfaces      99/index.html\n")
    assert 'href="page-2.html"' in (pages / "index.html").read_text()


@needs_browser
def test_dropped_faces_are_saved_and_read_back(folder, output, tmp_path):
    """By a click, by a key, by a range, by a limit; one is kept again."""
    with browser.open_browser(tmp_path) as page:
        page.open(folder / "page" / "index.html")
        assert page.evaluate("faces.length") == 5
        page.wait_for("document.querySelectorAll('img')[4].naturalWidth === 112")

        page.click(".face")
        page.click(".face:nth-child(3)", shift=True)
        assert page.evaluate("dropped.size") == 3
        page.press("x")  # the one clicked last
        page.press("ArrowLeft")
        page.press("x")
        assert page.evaluate("dropped.size") == 1
        page.press("n")
        page.press("ArrowRight")
        page.press("x")
        page.evaluate("document.getElementById('limit').value = '0.65'")
        page.click("#below")
        assert page.evaluate("document.getElementById('count').textContent") == (
            "3 of 5 dropped here, 3 on all pages"
        )
        page.open(folder / "page" / "index.html")  # remembered
        assert page.evaluate("document.querySelectorAll('[aria-pressed=true]').length")
        page.press("s")
        saved = tmp_path / "decisions.json"
        for _ in range(100):
            if saved.exists():
                break
            time.sleep(0.1)

    entries, _, _ = manifests.read_manifest(str(folder / "faces.jsonl"))
    dropped = manifests.read_decisions(str(saved))
    assert {e.likelihood for e in entries if e.key in dropped} == {0.5, 0.99, 0.6}
