"""Serve a model until the process is asked to end."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import logging
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType

from thumbnet.errors import ConfigError
from thumbnet.export.request import Say
from thumbnet.export.server.defaults import HOST, PORT
from thumbnet.export.server.limits import Limits
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs.extras import require_extra

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MOST_CONNECTIONS = 1000  # below the usual limit of open files; beyond, 503
M_MMAP_THRESHOLD = -3  # the number of mallopt's parameter
LARGE_BLOCK = 500_000  # bytes
GRACE_S = 30  # for the requests under way when the process is asked to end


def serve(run_or_name: str | Path, *, host: str = HOST, port: int = PORT, limits: Limits, say: Say) -> None:
    """Serve a trained model over HTTP until SIGTERM or SIGINT; the requests under way then are answered.

    Args:
        run_or_name: a run folder, or the name of a trained model of the package; an existing folder wins.
        host: the address to listen on. On one of this machine alone, requests that call it by other names are refused.
        port: 0 takes any that is free.
        say: gets the server's address, a warning where others than this machine can reach it, and why there is no page,
            of a model whose pictures are letterboxed.

    Raises:
        ConfigError: the address cannot be had. ExportError: the model is no network of blocks. ExtraMissingError,
        RunError.
    """
    require_extra("serve", "serving a model")
    import uvicorn

    from thumbnet.export.server.app import NO_PAGE, build_app, has_page
    from thumbnet.export.server.protocol import TimedProtocol

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every form that is malformed
    _give_back_memory()
    shippable = load_shippable(run_or_name)
    listener = _listen(host, port)
    with listener:
        address, actual_port = listener.getsockname()[:2]
        is_local = ipaddress.ip_address(address).is_loopback
        shown = f"[{address}]" if ":" in address else address
        hosts = LOCAL_NAMES | {shown, host.lower()} if is_local else None
        config = uvicorn.Config(
            build_app(shippable, limits=limits, hosts=hosts),
            http=TimedProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = uvicorn.Server(config)

        def end(number: int, frame: FrameType | None) -> None:
            server.should_exit = True

        # uvicorn raises the signals that ended it again: so this also keeps the process from dying of them.
        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if not is_local:
                say("every machine that can reach this one may now use the model: there is no password")
            if not has_page(shippable.card):
                say(NO_PAGE)
            say(f"{shippable.name} is served at http://{shown}:{actual_port} (end with Ctrl-C)")
            server.run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _give_back_memory() -> None:
    """Have blocks of memory as large as pictures returned to the system when they are freed.

    The GNU C library stops doing so for blocks of up to 32 MB once one of that size was freed: under load, the server
    then took 460 MB where it takes 330 MB so. Other libraries have no such setting.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ConfigError where the address cannot be had."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"the port is {port}", hint="give a number from 0 to 65535, for instance 8000")
    if not host:
        raise ConfigError("the host is empty", hint=f"give an address of this machine, for instance {HOST}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{host!r} is no address: {error}", hint=f"give one of this machine, such as {HOST}"
        ) from error
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host} cannot be listened on at port {port}: {error.strerror}",
            hint="give another --port; 0 takes any that is free"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else f"give an address of this machine as --host, for instance {HOST}",
        ) from error
    return listener
