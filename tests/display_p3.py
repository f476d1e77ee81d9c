"""A colour profile as phones put it into their photographs: Display P3, with sRGB's curve. ICC.1:2022, version 4."""

from __future__ import annotations

import struct

# X, Y and Z of the primaries and of white under D50, to which profiles are adapted.
COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
    b"wtpt": (0.96420, 1.00000, 0.82491),
}
CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # parametric curve of type 3


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(encoded), 28) + encoded


def _profile() -> bytes:
    tags = {name: b"XYZ " + bytes(4) + _fixed(*numbers) for name, numbers in COLORANTS.items()}
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(*CURVE)
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {b"desc": _text("Display P3"), b"cprt": _text("none")}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4s4s4s4s4s", start + len(body), b"none", b"\x04\x00\x00\x00", b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.96420, 1.0, 0.82491)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + body


DISPLAY_P3 = _profile()
