"""Reads the PNG of a screenshot, as far as a test needs it: its rows of pixels."""

import struct
import zlib


def colours(png: bytes) -> dict[bytes, int]:
    """Count the pixels of a PNG (8 bit, RGB or RGBA, not interlaced) by colour.

    Source: PNG specification, sections 7 to 9 (scanlines, filters, chunks).
    """
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, header = 8, b"", b""
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        header = body if kind == b"IHDR" else header
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    width, height, depth, colour, *_, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, interlace) == (8, 0)
    size = {2: 3, 6: 4}[colour]
    raw, stride = zlib.decompress(data), width * size
    above, found = bytearray(stride), dict[bytes, int]()
    for row in range(height):
        start = row * (stride + 1)
        line = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, size)
        for index in range(0, stride, size):
            pixel = bytes(line[index : index + 3])
            found[pixel] = found.get(pixel, 0) + 1
        above = line
    return found


def unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """Undo the filter of one scanline."""
    if kind == 0:
        return line
    for index, value in enumerate(line):
        left = line[index - size] if index >= size else 0
        corner = above[index - size] if index >= size else 0
        guess = (0, left, above[index], (left + above[index]) // 2, paeth(left, above[index], corner))[kind]
        line[index] = (value + guess) & 255
    return line


def paeth(left: int, above: int, corner: int) -> int:
    """Give the neighbour nearest to what the three together suggest."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))
