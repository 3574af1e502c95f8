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
