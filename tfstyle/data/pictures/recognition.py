"""Recognize the format of a picture file by its first bytes."""

import re
from typing import NamedTuple

BYTES_NEEDED = 512  # an SVG file may begin with comments


class Format(NamedTuple):
    """A format of picture files.

    Attributes:
        name: as it is shown.
        is_read: whether its files are read.
    """

    name: str
    is_read: bool


_READ = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM....\x00{4}.{4}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00{3}",
    "TIFF": rb"II[*+]\x00|MM\x00[*+]",
    "AVIF": rb"....ftyp(?:avi[fs]|m(?:if|sf)1.{4,60}avif)",
    "PPM": rb"P[1-6][\s#]\s*[\d#]|Pf\s+\d",
}
_NOT_READ = {
    "HEIC": rb"....ftyphe(?:i[cxms]|v[cxms])",
    "HEIF": rb"....ftypm(?:if|sf)1",
    "JPEG XL": rb"\xff\x0a|\x00{3}\x0cJXL ",
    "JPEG 2000": rb"\x00{3}\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XR": rb"II\xbc[\x00\x01]",
    "camera raw": rb"....ftypcrx |FUJIFILMCCD-RAW|II(?:U\x00|RO|RS)|MMOR|\x00MRM",
    "PSD": rb"8BPS\x00[\x01\x02]",
    "GIMP": rb"gimp xcf",
    "Krita": rb"PK\x03\x04.{26}mimetypeapplication/x-krita",
    "OpenRaster": rb"PK\x03\x04.{26}mimetypeimage/openraster",
    "Clip Studio": rb"CSFCHUNK",
    "Paint.NET": rb"PDN3",
    "Paint Shop Pro": rb"Paint Shop Pro Image File",
    "EPS": rb"%!PS-Adobe-[\d.]+ EPSF|\xc5\xd0\xd3\xc6",
    "PostScript": rb"%!PS",
    "SVG": rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?"
    rb"(?:<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]",
    "WMF": rb"\xd7\xcd\xc6\x9a",
    "EMF": rb"\x01\x00{3}.{36} EMF",
    "DjVu": rb"AT&TFORM",
    "DDS": rb"DDS \x7c\x00{3}",
    "ICO": rb"\x00{2}\x01\x00[^\x00]\x00",
    "CUR": rb"\x00{2}\x02\x00[^\x00]\x00",
    "ICNS": rb"icns",
    "QOI": rb"qoif",
    "PCX": rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]",
    "DCX": rb"\xb1\x68\xde\x3a",
    "SGI": rb"\x01\xda[\x00\x01][\x01\x02]\x00[\x01-\x03]",
    "Sun raster": rb"\x59\xa6\x6a\x95",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?(?:RADIANCE|RGBE)",
    "PAM": rb"P7\s",
    "PFM of colors": rb"PF\s+\d",
    "XPM": rb"/\* XPM \*/",
    "XBM": rb"\s*(?:/\*.*?\*/\s*)?#define\s+\w+_width\s+\d",
    "FITS": rb"SIMPLE  =",
    "FLIF": rb"FLIF",
    "BPG": rb"BPG\xfb",
    "MNG": rb"\x8aMNG\r\n\x1a\n",
    "JNG": rb"\x8bJNG\r\n\x1a\n",
    "DIB": rb"\x28\x00{3}.{8}\x01\x00[\x01\x04\x08\x10\x18\x20]\x00",
    "IM": rb"(?:Image type|File size|Name): ",
    "MSP": rb"DanM|LinS",
    "IFF": rb"FORM....(?:ILBM|PBM )",
    "BLP": rb"BLP[12]",
}
# TGA has no mark: a palette or none, colors or gray; then the size, bits and flags.
_WITHOUT_MARK = {
    "TGA": rb".(?:\x00(?:[\x02\x0a]\x00{5}.{8}[\x10\x18\x20]|[\x03\x0b]\x00{5}.{8}[\x08"
    rb"\x10])|\x01[\x01\x09]..[^\x00].[\x10\x18\x20].{8}\x08)[\x00-\x3f]",
}
_PATTERNS = {
    Format(name, name not in _NOT_READ): re.compile(pattern, re.DOTALL)
    for name, pattern in (_READ | _NOT_READ | _WITHOUT_MARK).items()
}


def recognize(start: bytes) -> Format | None:
    """Return the format of a file; None if it is no picture.

    Args:
        start: the first `BYTES_NEEDED` bytes of the file, or all.
    """
    for kind, pattern in _PATTERNS.items():
        if pattern.match(start):
            return kind
    return None
