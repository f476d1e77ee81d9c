"""How fast `thumbnet serve` answers, and how much memory it takes for that.

    python benchmarks/bench_serve.py [--model thumb-50k ...] [--requests 1000] [--clients 1 8 200]

Each client sends one picture after the other over a connection of its own: a PNG of 32 pixels, and (a tenth as often)
a photograph as a phone's, a JPEG of 12 megapixels. The clients run on the same processors as the server. It prints, for
each model, picture and number of clients: requests a second, the median and the 95th percentile of the time of a
request, and the most memory that the server has had until then. At the end, the largest pictures that it accepts, of
eight kinds, come 32 at a time.
"""

from __future__ import annotations

import http.client
import io
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
from measuring import circumstances, describe_circumstances
from PIL import Image
from serving import picture, serving

from thumbnet.export.server.defaults import MAX_PIXELS

HEAD = "| model | picture | clients | requests/s | median, ms | 95 %, ms | memory, MB |"


def main() -> None:
    """Measure and print a table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["thumb-50k"], help="runs or trained models (default: thumb-50k)")
    parser.add_argument("--requests", type=int, default=1000, help="of each kind of clients (default: 1000)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 200], help="at a time (default: 1 8 200)")
    parsed = parser.parse_args()
    pictures = {
        "PNG, 32 pixels": (picture("PNG", width=32, height=32), parsed.requests),
        "JPEG, 12 megapixels": (picture("JPEG", width=4032, height=3024), max(1, parsed.requests // 10)),
    }
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    for model in parsed.model:
        with serving(model) as server:
            ask_often(server.port, pictures["PNG, 32 pixels"][0], num_requests=20)
            for name, (content, num_requests) in pictures.items():
                for num_clients in parsed.clients:
                    start = time.perf_counter()
                    seconds = ask_at_once(server.port, content, num_requests=num_requests, num_clients=num_clients)
                    rate = len(seconds) / (time.perf_counter() - start)
                    median, late = 1000 * np.percentile(seconds, (50, 95))
                    memory = server.memory_mb()
                    shown = "" if memory is None else f"{memory:.0f}"
                    print(f"| {model} | {name} | {num_clients} | {rate:.0f} | {median:.1f} | {late:.1f} | {shown} |")
            with ThreadPoolExecutor(32) as pool:
                list(pool.map(lambda content: ask_often(server.port, content, num_requests=1), 4 * largest_pictures()))
            memory = server.memory_mb()
            print(f"| {model} | the largest | 32 | | | | {'' if memory is None else f'{memory:.0f}'} |")
    print(f"\n{describe_circumstances(circumstances())}")


def ask_at_once(port: int, content: bytes, *, num_requests: int, num_clients: int) -> list[float]:
    """Seconds of each of at least `num_requests` requests, divided among the clients."""
    each = -(-num_requests // num_clients)
    with ThreadPoolExecutor(num_clients) as pool:
        found = pool.map(lambda _: ask_often(port, content, num_requests=each), range(num_clients))
        return [seconds for one in found for seconds in one]


def ask_often(port: int, content: bytes, *, num_requests: int) -> list[float]:
    """Seconds of each of a client's requests; SystemExit where one is not answered with 200."""
    seconds = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        for _ in range(num_requests):
            start = time.perf_counter()
            connection.request("POST", "/predict", body=content, headers={"content-type": "application/octet-stream"})
            response = connection.getresponse()
            body = response.read()
            seconds.append(time.perf_counter() - start)
            if response.status != 200:
                raise SystemExit(f"{response.status}: {body.decode(errors='replace')}")
    return seconds


def largest_pictures() -> list[bytes]:
    """Pictures of as many pixels as the server accepts, of the kinds that take most memory, some in 9 MB files."""
    turned = Image.Exif()
    turned[0x0112] = 6  # by 90 degrees
    side, jpeg_side = int(MAX_PIXELS**0.5), int((2 * MAX_PIXELS) ** 0.5)
    translucent = Image.new("RGBA", (side, side), (9, 8, 7, 100))
    photo = Image.new("RGB", (jpeg_side, jpeg_side), (9, 8, 7))
    files = [
        encoded(translucent, "WEBP", lossless=True, method=0),
        encoded(translucent, "PNG", exif=turned, compress_level=1),
        encoded(translucent.convert("LA"), "PNG", compress_level=1),
        encoded(Image.new("I;16", (side, side), 9), "PNG", compress_level=1),
        encoded(Image.new("P", (side, side), 3), "GIF", transparency=3),
        encoded(photo, "JPEG", progressive=True, subsampling=0),
    ]
    filling = bytes(9_000_000)  # after the picture's end, where no decoder looks
    return [*files, files[1] + filling, encoded(photo.convert("CMYK"), "JPEG", progressive=True) + filling]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


if __name__ == "__main__":
    main()
