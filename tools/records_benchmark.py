"""Ways to prepare a collection, for `benchmark.py records`, which runs this file.

    python tools/records_benchmark.py VARIANT PICTURES OUTPUT SIZE WORKERS

`records` are what tools/make_tfrecords.py writes. `bare Pillow` decodes, resizes, and
encodes in as many processes, and keeps nothing. `zip loop` writes PNG files without
compression to a zip file, one after the other, in the manner of stylegan3's
dataset_tool. The command prints the seconds, without those of imports.
"""

import concurrent.futures
import functools
import io
import json
import multiprocessing
import pathlib
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable

import numpy as np
from PIL import Image

ARTIST_PICTURES = 100
_SAMPLE_SECONDS = 0.05  # between two measurements of memory
_CHUNK = 16
_PAGE_BYTES = 4096
_COMPRESS_LEVEL = 4  # of the PNG files in records


def make_pictures(folder: pathlib.Path, count: int, size: int, workers: int) -> None:
    """Write JPEG pictures, ARTIST_PICTURES in each folder; existing ones are kept."""
    for number in range(0, count, ARTIST_PICTURES):
        (folder / f"{number // ARTIST_PICTURES:05d}").mkdir(parents=True, exist_ok=True)
    write = functools.partial(_make_picture, folder, size)
    with _open_pool(workers) as pool:
        for _ in pool.map(write, range(count), chunksize=_CHUNK):
            pass


def measure(variant: str, *arguments: object) -> tuple[float, float]:
    """Run a variant in a new process.

    Returns:
        Its seconds, and the peak of the memory of all its processes in MiB (Linux).
    """
    command = [sys.executable, __file__, variant, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _sum_memory(process.pid))
            time.sleep(_SAMPLE_SECONDS)
        output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"error: '{variant}' failed; see the output above")
    return float(output.splitlines()[-1]), peak


def _make_picture(folder: pathlib.Path, size: int, number: int) -> None:
    path = folder / f"{number // ARTIST_PICTURES:05d}" / f"{number:07d}.jpg"
    if path.exists():
        return
    # Smooth pictures, because JPEG decodes noise more slowly than drawings.
    values = np.random.default_rng(number).integers(0, 256, [8, 8, 3], np.uint8)
    picture = Image.fromarray(values).resize([size, size], Image.Resampling.BICUBIC)
    picture.save(path, quality=90)


def _sum_memory(root: int) -> float:
    """Return the memory of a process and of those it started, in MiB."""
    parents, pages = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(folder.name)], pages[int(folder.name)] = int(stat[1]), int(stat[21])

    def belongs(process: int) -> bool:
        while process in parents and process != root:
            process = parents[process]
        return process == root

    return sum(pages[p] for p in pages if belongs(p)) * _PAGE_BYTES / 2**20


def _open_pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, context)


def _convert(size: int, path: pathlib.Path) -> int:
    """Decode, resize, and encode a square picture; return the number of bytes."""
    with Image.open(path) as image:
        picture = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=_COMPRESS_LEVEL)
    return buffer.tell()


def _run_pillow(pictures: str, output: str, size: int, workers: int) -> None:
    paths = sorted(pathlib.Path(pictures).glob("*/*.jpg"))
    convert = functools.partial(_convert, size)
    with _open_pool(workers) as pool:
        total = sum(pool.map(convert, paths, chunksize=_CHUNK))
    pathlib.Path(output).write_text(str(total))


def _run_zip_loop(pictures: str, output: str, size: int, workers: int) -> None:
    labels = {}
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(sorted(pathlib.Path(pictures).glob("*/*.jpg"))):
            pixels = np.array(Image.open(path).convert("RGB"))
            side = min(pixels.shape[:2])
            top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
            square = Image.fromarray(pixels[top : top + side, left : left + side])
            square = square.resize((size, size), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            square.save(buffer, "png", compress_level=0)
            name = f"{number // 1000:05d}/img{number:08d}.png"
            archive.writestr(name, buffer.getvalue())
            labels[name] = int(path.parent.name)
        archive.writestr("dataset.json", json.dumps({"labels": [*labels.items()]}))


def _run_records(pictures: str, output: str, size: int, workers: int) -> None:
    files, skipped = sources.scan_artist_folders(pictures)
    record_writer.write_dataset(
        output,
        files,
        Conversion(size),
        splits.SplitRule(),
        num_workers=workers,
        skipped=skipped,
    )


VARIANTS: dict[str, Callable[[str, str, int, int], None]] = {
    "records": _run_records,
    "bare Pillow": _run_pillow,
    "zip loop": _run_zip_loop,
}


if __name__ == "__main__":
    variant, pictures, output, size, workers = sys.argv[1:]
    if variant == "records":
        from tfstyle.data import record_writer
        from tfstyle.data.collections import sources, splits
        from tfstyle.data.pictures import Conversion
    start = time.perf_counter()
    VARIANTS[variant](pictures, output, int(size), int(workers))
    print(time.perf_counter() - start)
