"""Names of style dimensions are read as people write them."""

import pytest

from tfstyle.core.cli import UserError
from tfstyle.runs.style_space import read_dimension_names


def test_names_are_read(tmp_path):
    path = tmp_path / "dimension_names.tsv"
    assert read_dimension_names(path, 3) == {}

    path.write_text("dimension\tname\n\n3\tfiner locks \n1\tgrößer\n", "utf-8")
    assert read_dimension_names(path, 3) == {3: "finer locks", 1: "größer"}

    path.write_text("2\twith a byte order mark\r\n", "utf-8-sig")
    assert read_dimension_names(path, 3) == {2: "with a byte order mark"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 dark\n", r"line 1: must be a dimension, a tab and its name, got '1 dark'"),
        ("1\tdark\n2\t\n", r"line 2: must be"),
        ("1\tdark\tred\n", r"line 1: must be"),
        ("1\tda\x1b[2Jrk\n", r"line 1: must be"),
        ("1\tda\u2028rk\n2\tlight", r"line 1: must be"),
        ("9" * 50 + "\tdark\n", r"line 1: .* number from 1 to 3"),
        ("one\tdark\n", r"line 1: .* number from 1 to 3, got 'one'"),
        ("4\tdark\n", r"from 1 to 3, got '4'"),
        ("0\tdark\n", r"from 1 to 3, got '0'"),
        ("²\tdark\n", r"from 1 to 3, got '²'"),
        ("1\tdark\n1\tlight\n", r"line 2: dimension 1 has two names, 'dark' and 'l"),
    ],
)
def test_malformed_names_are_one_clear_error(text, message, tmp_path):
    path = tmp_path / "dimension_names.tsv"
    path.write_text(text, "utf-8")

    with pytest.raises(UserError, match=message) as caught:
        read_dimension_names(path, 3)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_names_in_another_encoding_are_an_error(tmp_path):
    path = tmp_path / "dimension_names.tsv"
    path.write_bytes("1\tgrößer".encode("latin-1"))

    with pytest.raises(UserError, match="must be UTF-8"):
        read_dimension_names(path, 3)
