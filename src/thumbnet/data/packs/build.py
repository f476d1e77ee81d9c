"""Pictures decoded into a folder of rows: in parallel, going on where it was stopped, copying what is known already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from thumbnet.data.packs.decoding import Copies, PartDone, PartTask, do_part, do_parts
from thumbnet.data.packs.earlier import Earlier, find_copies
from thumbnet.data.packs.facts import KINDS, Facts, depths_of, new_facts, note_decoded
from thumbnet.data.packs.listing import DoneLog
from thumbnet.data.packs.rows import Build, begin
from thumbnet.data.picture_request import PictureRequest, Pictures
from thumbnet.data.pictures import Decoded, Scales, decode_picture, describe_flat, reading_progress
from thumbnet.errors import DataError, ImageError
from thumbnet.specs.processors import num_processors

MIN_FILES_FOR_PROCESSES = 4_000  # below, threads are done before processes have started
NUMBER_OF_KIND: Mapping[str, int] = {kind: number for number, kind in enumerate(KINDS) if kind is not None}


def build_pictures(
    request: PictureRequest,
    how: str,
    folder: Path,
    *,
    facts: Facts,
    earlier: Sequence[Earlier] = (),
) -> tuple[Build, Pictures]:
    """Read pictures into `folder`, where an earlier reading of the same files goes on.

    Args:
        how: what decides which pixels a file becomes, as one text.
        facts: the files' sizes and times, before they are read.
        earlier: packs of the same kind of reading, from which unchanged files are copied.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    build, began = begin(request, how, folder, facts)
    earlier = [each for each in (*earlier, began) if each is not None]
    log = DoneLog(folder, build.listing)
    tasks = list(_tasks(build, earlier))
    with reading_progress(request) as advance:
        advance(sum(len(part.facts) for part in build.parts.values()))
        for part in _done(tasks):
            _note(build, part, log)
            advance(len(part.facts))
    unreadable = _errors_of_unreadable(build, log)
    if request.white_levels is None:
        _scale_deep_pictures(build, log)
    return build, pictures_of(request, build.facts, unreadable, build.take_images)


def pictures_of(
    request: PictureRequest,
    facts: Facts,
    unreadable: Mapping[Path, ImageError],
    take_images: Callable[[], Mapping[str, UInt8[np.ndarray, "_ c h w"]]],
) -> Pictures:
    """What a reader gives, from what is known of the files."""
    scales = None if request.white_levels is not None else Scales.of(depths_of(facts))
    flat = np.flatnonzero((facts["channels"] > 0) & facts["is_flat"]).tolist()
    names = [request.files[place].relative_to(request.relative_to).as_posix() for place in flat]
    return Pictures(
        take_images=take_images,
        unreadable=unreadable,
        white_levels={**(request.white_levels or {})} if scales is None else scales.whites,
        remarks=(*(() if scales is None else scales.remarks), *describe_flat(names)),
        are_mapped=True,
    )


def _note(build: Build, part: PartDone, log: DoneLog) -> None:
    build.take(part)
    log.add(part)


def _tasks(build: Build, earlier: Sequence[Earlier]) -> Iterator[PartTask]:
    """The parts that are not done, with what can be copied for them."""
    for split, file in build.files.items():
        names, facts, files = build.listing.names[split], build.facts_of(split), build.files_of(split)
        found = [find_copies(names, facts, each) for each in earlier]
        for first, last in file.parts():
            if (split, first) not in build.parts:
                own = facts[first:last].copy()
                copies = tuple(
                    copied
                    for each, places in zip(earlier, found, strict=True)
                    for copied in _copies(own, each, places[first:last])
                )
                yield PartTask(
                    split, first, files[first:last], own, file, build.request.fit, build.request.white_levels, copies
                )


def _copies(facts: Facts, earlier: Earlier, places: Int64[np.ndarray, " n"]) -> Iterator[Copies]:
    """What one earlier pack has of a part; `facts` then have its facts of these."""
    rows = np.flatnonzero((places >= 0) & (facts["channels"] == 0)).astype(np.int64)
    facts[rows] = earlier.facts[places[rows]]
    for split, file in earlier.files.items():
        inside = np.array([earlier.splits[place] == split for place in places[rows].tolist()], np.bool_)
        if inside.any():
            yield Copies(file, rows[inside], earlier.rows[places[rows[inside]]])


def _done(tasks: Sequence[PartTask]) -> Iterator[PartDone]:
    """The parts as they are done: by processes where there is much to decode, else by threads of this one."""
    num_files = sum(int((task.facts["channels"] == 0).sum()) for task in tasks)
    num_cores = num_processors()
    if num_files >= MIN_FILES_FOR_PROCESSES and num_cores > 1:
        yield from do_parts(tasks, num_processes=num_cores)
        return
    with ThreadPoolExecutor(max_workers=num_cores) as pool:  # Pillow decodes without the GIL
        for task in tasks:
            yield do_part(task, pool.map)


def _errors_of_unreadable(build: Build, log: DoneLog) -> dict[Path, ImageError]:
    """What is wrong with each file that could not be read; one that can be read now after all takes its place."""
    errors: dict[Path, ImageError] = {}
    for split, file in build.files.items():
        facts, files, found = build.facts_of(split), build.files_of(split), set[int]()
        for place in np.flatnonzero(facts["channels"] == 0).tolist():
            decoded = decode_picture(
                files[place],
                image_size=build.request.sides,
                fit=build.request.fit,
                white_levels=build.request.white_levels,
            )
            if isinstance(decoded, Decoded) and decoded.pixels is not None:
                file.write(place, np.broadcast_to(decoded.pixels, (1, *file.shape[1:])))
                note_decoded(facts, place, decoded)
                found.add(place)
            elif isinstance(decoded, ImageError):
                errors[files[place]] = decoded
        for key in [key for key in build.parts if key[0] == split]:
            first, last = key[1], build.parts[key].last
            if any(first <= place < last for place in found):
                _note(build, PartDone(split, first, facts[first:last].copy(), file.digest(first, last)), log)
    return errors


def _scale_deep_pictures(build: Build, log: DoneLog) -> None:
    """Read deep pictures again whose own white is not that of the whole set."""
    whites = Scales.of(depths_of(build.facts)).whites
    tasks = []
    for split, file in build.files.items():
        facts = build.facts_of(split)
        is_other = np.zeros(len(facts), np.bool_)
        for kind, white in whites.items():
            is_of_kind = (facts["channels"] > 0) & (facts["kind"] == NUMBER_OF_KIND[kind])
            is_other |= is_of_kind & (facts["white"] != white)
        for first, last in file.parts():
            other = np.flatnonzero(is_other[first:last])
            if len(other):
                own = facts[first:last].copy()
                kept = np.flatnonzero((own["channels"] > 0) & ~is_other[first:last]).astype(np.int64)
                own["channels"][other] = 0
                copies = (Copies(file, kept, first + kept),)
                files = build.files_of(split)[first:last]
                tasks.append(PartTask(split, first, files, own, file, build.request.fit, whites, copies))
    for part in _done(tasks):
        before = build.facts_of(part.split)[part.first : part.last]
        gone = np.flatnonzero((before["channels"] > 0) & (part.facts["channels"] == 0)).tolist()
        if gone:
            name = build.listing.names[part.split][part.first + gone[0]]
            raise DataError(f"{name} was changed or removed while it was read", hint="read the folder again")
        _note(build, part, log)


def facts_of_request(request: PictureRequest) -> Facts:
    """The files' sizes and times now."""
    return new_facts(request.files, now_ns=time.time_ns())
