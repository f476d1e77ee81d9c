"""Send `thumbnet serve` broken requests, and see that it refuses them and goes on.

    python benchmarks/fuzz_serve.py [--model thumb-20k] [--seconds 300] [--seed 0] [--clients 4]

Pictures and forms with bytes changed, cut, doubled or put in; forms of odd structure; wrong lengths, chunks, methods,
addresses and headers; bytes that are no HTTP. Every 500 requests a good picture must get the answer that it got at
first. It prints how many answers had which code, and ends with 1 where one was 5xx, where a whole request was not
answered, and where the server died, said something or took 400 MB.
"""

from __future__ import annotations

import http.client
import random
import socket
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving import picture, serving

MOST_MB = 400
CHECK_EVERY = 500
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM")
METHODS = (b"POST",) * 150 + (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"post", b"\xff")
PATHS = (b"/predict",) * 100 + (
    b"/predict?top=3", b"/predict?top=99", b"/predict?top=%00", b"/predict?x=1", b"/", b"/health", b"/model",
    b"/openapi.json", b"/..//etc/passwd", b"/%ff", b"*", b"http://evil.example/predict", b"/" + b"a" * 9000,
)  # fmt: skip
TYPES = (b"image/png", b"image/jpeg", b"application/octet-stream", b"image/svg+xml", b"text/plain", b"", b"image/\xff")
NO_BODY_TIMEOUT_S = 0.3  # for a request whose body never comes: the server waits longer, and need not be waited for
TIMEOUT_S = 20.0


def main() -> int:
    """Fuzz; returns 1 where something went wrong."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="thumb-20k", help="a run or a trained model (default: thumb-20k)")
    parser.add_argument("--seconds", type=float, default=300, help="how long (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the requests (default: 0)")
    parser.add_argument("--clients", type=int, default=4, help="at a time (default: 4)")
    parsed = parser.parse_args()
    end = time.monotonic() + parsed.seconds
    with serving(parsed.model) as server:
        with ThreadPoolExecutor(parsed.clients) as pool:
            found = pool.map(
                lambda client: fuzz(server.port, random.Random(f"{parsed.seed} {client}"), end), range(parsed.clients)
            )
            answers = sum(found, Counter())
        memory = server.memory_mb()
    print(", ".join(f"{code}: {answers[code]:,}" for code in sorted(answers)))
    print(f"{answers.total():,} requests in {parsed.seconds:.0f} s, at most {memory or 0:.0f} MB")
    return int(any(code.startswith("5") for code in answers) or (memory or 0) >= MOST_MB)


def fuzz(port: int, source: random.Random, end: float) -> Counter[str]:
    """Send requests until the end; how many answers had which code."""
    answers: Counter[str] = Counter()
    good = picture("PNG", width=40, height=30)
    expected = predict(port, good)
    pictures = [picture(kind, width=source.randint(1, 90), height=source.randint(1, 90)) for kind in KINDS]
    while time.monotonic() < end:
        request, is_whole = broken_request(source, pictures)
        code = send(port, request, timeout_s=TIMEOUT_S if is_whole else NO_BODY_TIMEOUT_S)
        answers[code] += 1
        if code.startswith("5") or (code == "late" and is_whole):
            Path(f"fuzz-{code}-{answers[code]}.bin").write_bytes(request)
            print(f"{code}: the request is in fuzz-{code}-{answers[code]}.bin", file=sys.stderr)
        if answers.total() % CHECK_EVERY == 0 and predict(port, good) != expected:
            raise SystemExit("a good picture gets another answer than at first")
    return answers


def predict(port: int, content: bytes) -> bytes:
    """The answer for a picture; SystemExit where it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request("POST", "/predict", body=content, headers={"content-type": "image/png"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"a good picture is answered with {response.status}: {body.decode(errors='replace')}")
    return body


def broken_request(source: random.Random, pictures: list[bytes]) -> tuple[bytes, bool]:
    """A request, and whether all of it is there, so that an answer must come."""
    if source.random() < 0.02:
        return source.randbytes(source.randint(1, 400)), False
    body = broken(source, source.choice(pictures), most=4)
    kind = source.choice(TYPES)
    if source.random() < 0.5:
        boundary, body = form(source, pictures)
        kind = b"multipart/form-data; boundary=" + broken(source, boundary, most=1, share=0.1)
    headers = [
        b"Host: " + source.choice((b"127.0.0.1",) * 90 + (b"evil.example", b"[::1]", b"\xff", b"")),
        b"Connection: close",
    ]
    headers += [b"Content-Type: " + kind] if source.random() < 0.97 else []
    headers += [b"Origin: " + source.choice((b"null", b"http://127.0.0.1", b"\xfe"))] if source.random() < 0.05 else []
    headers += [b"Content-Encoding: gzip"] if source.random() < 0.02 else []
    is_whole = True
    if source.random() < 0.2:
        body, is_whole = chunked(source, body)
        headers.append(b"Transfer-Encoding: chunked")
    elif source.random() < 0.95:
        headers.append(b"Content-Length: %d" % len(body))
    else:
        length = source.choice((b"-1", b"x", b"%d" % (len(body) + 9), b"%d" % 10**9, b"9" * 40, b"0", b"1, 1"))
        headers.append(b"Content-Length: " + length)
        is_whole = False
    head = source.choice(METHODS) + b" " + source.choice(PATHS) + b" HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n"
    if source.random() < 0.03:
        return broken(source, head, most=3) + body, False
    return head + body, is_whole


def form(source: random.Random, pictures: list[bytes]) -> tuple[bytes, bytes]:
    """A form's boundary and body, often broken."""
    boundary = source.choice((b"b", b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"x" * 70, b"--", b"=?'"))
    body = b""
    for _ in range(source.choice((0, 1, 1, 1, 2, 5, 40))):
        name = source.choice(
            (b'"a"; filename="a.png"', b'"a"', b'""; filename=""', b'"a"; filename="\xe2\x80\xae\xff\\"', b"a")
        )
        part = b"--" + boundary + b"\r\nContent-Disposition: form-data; name=" + name + b"\r\n"
        part += b"Content-Type: image/png\r\n" if source.random() < 0.5 else b""
        body += (
            broken(source, part, most=2, share=0.2)
            + b"\r\n"
            + broken(source, source.choice(pictures), most=3)
            + b"\r\n"
        )
    return boundary, broken(source, body + b"--" + boundary + b"--\r\n", most=3, share=0.3)


def chunked(source: random.Random, body: bytes) -> tuple[bytes, bool]:
    """A body in chunks, and whether they are right."""
    pieces = []
    while body:
        size = source.randint(1, 5000)
        pieces.append(b"%x\r\n" % len(body[:size]) + body[:size] + b"\r\n")
        body = body[size:]
    whole = b"".join([*pieces, b"0\r\n\r\n"])
    return (whole, True) if source.random() < 0.8 else (broken(source, whole, most=3, share=1), False)


def broken(source: random.Random, content: bytes, *, most: int, share: float = 0.7) -> bytes:
    """The content, with up to `most` places changed in such a share of cases."""
    if source.random() > share:
        return content
    changed = bytearray(content)
    for _ in range(source.randint(1, most)):
        place = source.randint(0, len(changed))
        end = place + source.choice((1, 1, 2, 4, 30))
        way = source.randrange(6)
        if way == 0:
            changed[place:end] = source.randbytes(end - place)
        elif way == 1:
            changed[place : place + 1] = bytes([source.choice((0, 255, 127, 128, 13, 10))])
        elif way == 2:
            del changed[place:end]
        elif way == 3:
            changed[place:place] = changed[place : place + 200]
        elif way == 4:
            changed = changed[:place]
        else:
            changed[place:place] = source.choice(
                (b"\r\n", b"--", b"\x00" * 8, b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
            )
    return bytes(changed)


def send(port: int, request: bytes, *, timeout_s: float) -> str:
    """The code of the answer; `none` where the connection is closed instead, `late` where neither comes in time."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(request)
            while piece := connection.recv(65536):
                received += piece
    except TimeoutError:
        if not received:
            return "late"
    except OSError:
        pass
    beginning = received.removeprefix(b"HTTP/1.1 100 \r\n\r\n").split(b" ")
    return beginning[1].decode("latin-1") if len(beginning) > 1 and beginning[0] == b"HTTP/1.1" else "none"


if __name__ == "__main__":
    sys.exit(main())
