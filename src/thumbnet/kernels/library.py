"""The kernels as a loaded library: the wheel's, else from the cache or compiled; checked before it is called."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from thumbnet.errors import ConfigError
from thumbnet.kernels import precompiled
from thumbnet.kernels.cache import build_folder, build_lock, find_library, keep_library, open_cache
from thumbnet.kernels.compiler import (
    COMPILER,
    HINT_USE_PYTORCH,
    can_compile,
    compile_kernels,
    digest_of_kernels,
    find_compiler,
    kernel_flags,
)
from thumbnet.kernels.openmp import share_openmp
from thumbnet.kernels.precompiled import Target, find_precompiled, installed_target, outdated, unloadable
from thumbnet.kernels.warnings_once import say_once
from thumbnet.terminal.streams import tell

ABI = 8  # of the functions below, in blocks.cpp; a change of their arguments or their meaning is another
LANES = (4, 8, 16)  # in vectors that block_support.CHANNEL_MULTIPLE channels fill, two or one, or half of one
_POINTER, _INT, _LONG, _DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double
ARGUMENTS = {
    "thumbnet_norm_forward": [_POINTER] * 6 + [_DOUBLE] * 2 + [_POINTER] * 4 + [_INT] * 7,
    "thumbnet_norm_backward": [_POINTER] * 7 + [_INT] * 6,
    "thumbnet_separable_forward": [_POINTER] * 7 + [_DOUBLE] * 2 + [_POINTER] * 5 + [_INT] * 10,
    "thumbnet_separable_backward": [_POINTER] * 13 + [_INT] * 9,
    "thumbnet_convolution_forward": [_POINTER] * 4 + [_INT] * 8 + [_LONG] * 3 + [_INT],
    "thumbnet_convolution_backward": [_POINTER] * 6 + [_INT] * 8 + [_LONG] * 3 + [_INT],
    "thumbnet_plain_forward": [_POINTER] * 6 + [_DOUBLE] * 2 + [_POINTER] * 4 + [_INT] * 8 + [_LONG] * 3 + [_INT] * 3,
    "thumbnet_strided_forward": [_POINTER] * 7 + [_DOUBLE] * 2 + [_POINTER] * 3 + [_INT] * 8 + [_LONG] * 3 + [_INT] * 2,
    "thumbnet_strided_backward": [_POINTER] * 10 + [_INT] * 8 + [_LONG] * 3 + [_INT],
    "thumbnet_plain_backward": [_POINTER] * 10 + [_INT] * 8 + [_LONG] * 3 + [_INT] * 2,
    "thumbnet_images": [_POINTER] * 8 + [_INT] * 13,
    "thumbnet_cut_images": [_POINTER] * 5 + [_INT] * 7,
    "thumbnet_turn_images": [_POINTER] * 4 + [_INT] * 5,
    "thumbnet_mix_images": [_POINTER] * 5 + [_INT] * 5,
    "thumbnet_sharpen_images": [_POINTER] * 3 + [_INT] * 5,
    "thumbnet_muon_step": [_POINTER] * 5 + [_INT] + [_DOUBLE] * 2 + [_INT],
    "thumbnet_set_add_up": [_POINTER],
}
Say = Callable[[str], None]


class Kernels(ctypes.CDLL):
    """The library's functions. `abi`, `lanes` (floats in a vector) and `compiler` (its version) are as it reports them.

    Args:
        target: what it was compiled for if it came with the wheel; None: it was compiled on this machine.

    Raises:
        OSError: the file is no library, or one whose functions are not those that we would call.
    """

    abi: int
    lanes: int
    compiler: str

    def __init__(self, path: Path, target: Target | None = None) -> None:
        super().__init__(str(path))
        self.target = target
        try:
            self.abi, self.lanes = int(self.thumbnet_abi()), int(self.thumbnet_lanes())
            if self.abi != ABI or self.lanes not in LANES:
                raise OSError(f"its ABI is {self.abi} (not {ABI}), its vectors have {self.lanes} lanes")
            self.thumbnet_compiler.restype = ctypes.c_char_p
            self.compiler = self.thumbnet_compiler().decode()
            for name, arguments in ARGUMENTS.items():
                function = getattr(self, name)
                function.argtypes, function.restype = arguments, None
        except AttributeError as error:
            raise OSError(str(error)) from error

    @property
    def origin(self) -> str:
        """Compiler and, for the wheel's, target."""
        by = f"{COMPILER} {self.compiler}"
        return by if self.target is None else f"wheel for {self.target.march}, {by}"


# Also what failed: it is not tried again and again.
_loaded: dict[tuple[object, ...], Kernels | ConfigError] = {}
_of_wheel: dict[tuple[Path, Target], Kernels | ConfigError | None] = {}
_at_hand: dict[Sequence[str], Kernels] = {}  # by flags


def can_load() -> bool:
    """Whether there are kernels for this machine: they came with the wheel, or can be compiled."""
    return installed_target() is not None or can_compile()


def load_kernels(flags: Sequence[str] | None = None, *, say: Say | None = None) -> Kernels:
    """The kernels: the wheel's, else compiled unless this machine has them already.

    Args:
        flags: the compiler's, to compile them with; None: those for this process's form of the processor, if the wheel
            has none for it.
        say: gets a sentence if they must be compiled first, and if those of the wheel cannot be used. Without it,
            the former goes to stderr, and the latter is a RuntimeWarning.

    Raises:
        ConfigError: this is no machine for them, or compiling or loading them fails.
    """
    kernels = _load_precompiled(say) if flags is None else None
    return kernels or _load_compiled(kernel_flags() if flags is None else flags, say)


def kernels_at_hand() -> Kernels | None:
    """The kernels that `load_kernels` would give without compiling and without a word; None if it could not."""
    try:
        flags = kernel_flags()
    except ConfigError:
        return None
    if flags not in _at_hand:
        kernels = _find_at_hand(flags)
        if kernels is None:
            return None  # they may have been compiled when they are asked for next
        _at_hand[flags] = kernels
    return _at_hand[flags]


def _find_at_hand(flags: Sequence[str]) -> Kernels | None:
    with suppress(ConfigError, OSError):
        target = installed_target()
        path = None if target is None else find_precompiled(target)
        if path is not None:
            share_openmp()
            return Kernels(path, target)
    with suppress(ConfigError, OSError):  # also where g++ replaced those of the wheel
        compiler, cache = find_compiler(), open_cache()
        digest = digest_of_kernels(compiler, flags)
        loaded = _loaded.get((digest, cache))
        if isinstance(loaded, Kernels):
            return loaded
        kept = None if cache is None else find_library(cache, digest)
        return None if kept is None else _open(kept)
    return None


def forget_kernels() -> None:
    """Load the kernels anew when they are wanted next, as a new process does."""
    _at_hand.clear()
    _loaded.clear()
    _of_wheel.clear()


def _load_precompiled(say: Say | None) -> Kernels | None:
    """Those of the wheel; None if it has none for this processor, or g++ can replace those that cannot be used."""
    target = installed_target()
    if target is None:
        return None
    key = precompiled.FOLDER, target
    if key not in _of_wheel:
        _of_wheel[key] = _open_precompiled(target, say)
    kernels = _of_wheel[key]
    if isinstance(kernels, Kernels):
        return kernels
    if not can_compile():
        raise kernels or outdated()
    return None


def _open_precompiled(target: Target, say: Say | None) -> Kernels | ConfigError | None:
    """The error, if they are damaged or cannot be loaded; None if they were compiled from another source."""
    try:
        path = find_precompiled(target)
    except ConfigError as error:
        return _replaced(error, "To repair them, install thumbnet anew; ", say)
    try:
        share_openmp()
        return None if path is None else Kernels(path, target)
    except OSError as error:
        return _replaced(unloadable(target, error), "", say)


def _replaced(error: ConfigError, advice: str, say: Say | None) -> ConfigError:
    """The error, which is said if g++ replaces these kernels."""
    if can_compile():
        say_once(f"{error.message}. {advice}{COMPILER} replaces them now.", say)
    return error


def _load_compiled(flags: Sequence[str], say: Say | None) -> Kernels:
    compiler, cache = find_compiler(), open_cache()
    try:
        digest = digest_of_kernels(compiler, flags)
    except OSError as error:
        raise ConfigError(
            f"what our kernels depend on cannot be read: {error}", hint=f"make it readable, or {HINT_USE_PYTORCH}"
        ) from error
    key = digest, cache
    if key not in _loaded:
        try:
            _loaded[key] = _load(compiler, flags, cache, digest, tell if say is None else say)
        except ConfigError as error:
            _loaded[key] = error
    kernels = _loaded[key]
    if isinstance(kernels, ConfigError):
        raise kernels
    return kernels


def _load(compiler: str, flags: Sequence[str], cache: Path | None, digest: str, say: Say) -> Kernels:
    """From the cache, else compiled in it or, where that fails, in a temporary folder."""
    kept = None if cache is None else find_library(cache, digest)
    if kept is not None:
        return _open(kept)
    try:
        with build_lock(cache, waits=lambda: say("Waiting for another process, which compiles the kernels.")):
            kept = None if cache is None else find_library(cache, digest)  # as it may be by now
            return _open(kept) if kept is not None else _compile(compiler, flags, cache, digest, say)
    except OSError as error:
        if cache is not None:
            return _load(compiler, flags, None, digest, say)
        raise ConfigError(
            f"our kernels could not be compiled in a temporary folder: {error}",
            hint=f"make room there (XDG_CACHE_HOME and TMPDIR set other folders), or {HINT_USE_PYTORCH}",
        ) from error


def _compile(compiler: str, flags: Sequence[str], cache: Path | None, digest: str, say: Say) -> Kernels:
    once = "once" if cache else "at every start, since the user's cache folder cannot be used (XDG_CACHE_HOME sets one)"
    with build_folder(cache) as folder:
        say(f"Compiling kernels for this processor, {once}: it takes some seconds.")
        library = compile_kernels(compiler, flags, folder)
        return _open(library if cache is None else keep_library(library, cache, digest))


def _open(path: Path) -> Kernels:
    try:
        return Kernels(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"the kernels {path} cannot be loaded: {error}", hint=HINT_USE_PYTORCH) from error
