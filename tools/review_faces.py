"""Make a page on which you drop the detections that are no faces.

    python tools/review_faces.py --manifest=faces.jsonl --input_dir=PICTURES \
      --output_dir=review
    xdg-open review/index.html
    python tools/make_tfrecords.py --manifest=faces.jsonl --input_dir=PICTURES \
      --decisions=decisions.json --output_dir=RECORDS

Artists are sections, and the least likely faces come first. The page works without a
server: click a face or press x to drop it, and save the decisions at the end. The
browser remembers them meanwhile.
"""

import hashlib
import pathlib
import re

from absl import flags

from tfstyle.core import cli, names
from tfstyle.core.cli import UserError
from tfstyle.core.files import atomic_folder
from tfstyle.core.progress import track
from tfstyle.data.catalogs import manifests, review
from tfstyle.data.collections.conversion_pool import count_processors
from tfstyle.data.refusals import exclusions

_MANIFEST = cli.define_path(
    "manifest", None, "Manifest of faces, such as tools/detect_faces.py writes."
)
_INPUT_DIR = cli.define_path(
    "input_dir", None, "Folder that the manifest's paths are relative to; default: its."
)
_OUTPUT_DIR = cli.define_path("output_dir", None, "Folder to write the page to.")
_EXCLUDE, _ALLOW_UNMATCHED = exclusions.define_flags()
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an earlier page.")
_PER_PAGE = flags.DEFINE_integer(
    "per_page", 3000, "Faces per page; an artist stays on one page.", 1
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", 0, "Processes that cut faces out; 0 for one per processor.", 0
)

_OWN_FILES = re.compile(r"index\.html|page-\d+\.html|\d{5,}\.jpg")


def main() -> None:
    """Cut the faces out and write the pages."""
    for flag in ("manifest", "output_dir"):
        if not flags.FLAGS[flag].value:
            raise UserError(f"--{flag} is missing (see --help)")
    manifest = pathlib.Path(_MANIFEST.value)
    entries, faults, _ = manifests.read_manifest(str(manifest))
    input_dir = _INPUT_DIR.value or str(manifest.parent)
    lists = _EXCLUDE.value or []
    if lists:
        entries = manifests.follow_links(entries, input_dir)
    excluded = exclusions.exclude_names(
        lists, manifests.list_names(entries), _ALLOW_UNMATCHED.value
    )
    out = excluded.names
    entries = [entry for entry in entries if not manifests.find_excluded(entry, out)]
    for note in excluded.notes:
        print(note)
    if not entries:
        rest = " but those of excluded artists" if out else ""
        raise UserError(
            f"--manifest={names.show(str(manifest))} lists no pictures{rest}"
        )
    entries = review.sort_for_review(entries)
    workers = _NUM_WORKERS.value or count_processors()
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    with atomic_folder(
        _OUTPUT_DIR.value,
        own_files=_OWN_FILES,
        last=review.INDEX,
        overwrite=_OVERWRITE.value,
    ) as folder:
        results = review.write_crops(entries, input_dir, folder, workers)
        errors = list(track(results, len(entries), "cutting faces"))
        crops = [
            f"{number:05d}.jpg" if error is None else None
            for number, error in enumerate(errors)
        ]
        pages = review.write_pages(entries, crops, folder, digest, _PER_PAGE.value)
    for entry, error in zip(entries, errors, strict=True):
        if error is not None:
            reason = names.clean_line(error)
            print(f"unusable   row {entry.row}, {names.show(entry.path)}: {reason}")
    for line in manifests.describe_faults(str(manifest), faults):
        print(f"faulty     {line}")
    on_pages = names.format_count(len(pages), "page")
    print(f"faces      {errors.count(None)} on {on_pages}")
    page = pathlib.Path(_OUTPUT_DIR.value, review.INDEX)
    print(f"page       {names.show(str(page))}")


if __name__ == "__main__":
    cli.run(main)
