"""Walk folders of pictures: what is a picture, and why anything else is left out.

Links are followed, folders of the operating system are not entered, and nothing that is
no regular file is opened.
"""

import os
import pathlib
import re
import stat
from collections.abc import Callable

from tfstyle.data import pictures
from tfstyle.data.pictures import recognition

SkippedFile = tuple[str, str]  # name and reason; names of folders end in "/"

# Folders that systems and programs keep thumbnails, deleted files and snapshots in.
# Hidden folders are left out anyway.
SYSTEM_FOLDERS = frozenset(
    # Synology, QNAP, NetApp
    {"@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"}
    | {"@__thumb", "@sharebin", "@sharesnap", "~snapshot"}
    # Windows
    | {"$recycle.bin", "recycler", "recycler.bin", "recycled", "$extend"}
    | {"system volume information", "msdownld.tmp"}
    # macOS, Linux, Android
    | {"__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"}
    | {"lost+found", "lost.dir"}
    # galleries, FrontPage
    | {"_thumbs", "__thumbs", "_vti_cnf"}
)
# Recovered files of Windows, snapshots of Samba, previews of Lightroom.
_SYSTEM_PATTERN = re.compile(r"found\.\d{3}|@gmt-.*|.*\.(lrdata|lrcat-data)")
# Of galleries too, but an artist may be called so.
_THUMBNAILS = "thumbs"
# Libraries of Photos, iPhoto, Aperture and Capture One hold previews beside these.
_LIBRARIES = (
    *(".photoslibrary", ".photolibrary", ".migratedphotolibrary"),
    *(".aplibrary", ".migratedaplibrary", ".cocatalog"),
)
_ORIGINALS = ("originals", "masters")

# Says why the target of a link is not followed, or None.
LinkRule = Callable[[str], str | None]


def walk(
    folder: str | os.PathLike[str], refuse_link: LinkRule = lambda _: None
) -> tuple[list[str], list[SkippedFile]]:
    """List the pictures below a folder, with those of linked folders.

    A folder that several links or a loop of links lead to is listed once, by its own
    path if that is below `folder`.

    Args:
        folder: where to begin; itself it may be a link, hidden, or a system folder.
        refuse_link: called with the real path of each file and folder that a link
            leads to, and of folders inside; returns the reason to leave it out, if
            there is one.

    Returns:
        The paths of the pictures: of each folder, the files by name, then the inner
        folders; linked folders last. And what is left out, with the reasons "hidden",
        "system_folder", "unreadable_folder", "repeated_folder", "not_a_regular_file",
        "not_a_picture", "unsupported_format", "unreadable", and those of `refuse_link`.
    """
    root = os.fspath(folder)
    real_root = os.path.realpath(root)
    found: list[str] = []
    skipped: list[SkippedFile] = []
    seen = _identify(root)
    open_folders, links = [root], list[str]()
    linked = False  # from the first link on, all folders are reached through links
    while open_folders or links:
        linked = linked or not open_folders
        path = open_folders.pop() if open_folders else links.pop(0)
        if linked:
            target = os.path.realpath(path)
            inside_itself = _contains(target, real_root)
            reason = "repeated_folder" if inside_itself else refuse_link(target)
            if reason:
                skipped.append((f"{path}/", reason))
                continue
        if path != root:
            identity = _identify(path)
            if seen & identity:
                skipped.append((f"{path}/", "repeated_folder"))
                continue
            seen |= identity
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            skipped.append((f"{path}/", "unreadable_folder"))
            continue
        inner: list[str] = []
        parent = pathlib.PurePath(path).name
        for entry in entries:
            is_folder = _is_folder(entry)
            reason = classify_folder(entry.name, parent) if is_folder else None
            if reason:
                skipped.append((f"{entry.path}/", reason))
            elif is_folder:
                (links if entry.is_symlink() else inner).append(entry.path)
            else:
                reason = _classify_entry(entry, refuse_link)
                if reason:
                    skipped.append((entry.path, reason))
                else:
                    found.append(entry.path)
        open_folders += reversed(inner)
    return found, skipped


def classify_folder(name: str, parent: str | None = None) -> str | None:
    """Return why a folder of this name is left out; None if it is not.

    Args:
        name: its name.
        parent: the name of the folder around it; None if it is the folder of an artist.
    """
    folded = name.casefold()
    if folded in SYSTEM_FOLDERS or _SYSTEM_PATTERN.fullmatch(folded):
        return "system_folder"
    if parent is not None:
        is_in_library = parent.casefold().endswith(_LIBRARIES)
        if folded == _THUMBNAILS or (is_in_library and folded not in _ORIGINALS):
            return "system_folder"
    return "hidden" if name.startswith(".") else None


def classify_file(path: str) -> str | None:
    """Return why a file is left out; None for a picture, whatever its name.

    A file with the suffix of a picture format is not opened.
    """
    try:
        if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            return "not_a_regular_file"
    except OSError:  # such as a link that leads nowhere
        return "unreadable"
    return _classify_content(path)


def _classify_entry(entry: os.DirEntry[str], refuse_link: LinkRule) -> str | None:
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_file(follow_symlinks=False):
            return _classify_content(entry.path)  # without a system call for its type
        if entry.is_symlink() and (reason := refuse_link(os.path.realpath(entry.path))):
            return reason
    except OSError:
        return "unreadable"
    return classify_file(entry.path)


def _classify_content(path: str) -> str | None:
    if pathlib.PurePath(path).suffix.lower() in pictures.SUFFIXES:
        return None
    try:
        with pathlib.Path(path).open("rb") as file:
            kind = recognition.recognize(file.read(recognition.BYTES_NEEDED))
    except OSError:
        return "unreadable"
    if kind is None:
        return "not_a_picture"
    return None if kind.is_read else "unsupported_format"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identify(path: str) -> set[tuple[int, int]]:
    """Return what all paths of a folder share; nothing if it is unreadable."""
    try:
        status = pathlib.Path(path).stat()
    except OSError:
        return set()
    return {(status.st_dev, status.st_ino)}


def _contains(folder: str, path: str) -> bool:
    """Return whether a real path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
