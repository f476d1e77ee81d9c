"""Where a sweep's trials are kept: a study of Optuna's in SQLite, or in PostgreSQL for several machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from thumbnet.errors import ConfigError, RunError
from thumbnet.runs.files.names import SWEEP_DATABASE
from thumbnet.specs.extras import require_extra

SECRETS = ("password", "sslpassword", "passfile")  # of an address's query
DRIVER = "postgresql+psycopg"
WAIT_FOR_LOCK_S = 60
TRIES = 5  # of two processes that make the tables at the same time, one is refused
STORAGE_ERRORS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)


@dataclass(frozen=True)
class Place:
    """The address of a database; `shown` is it without a password."""

    url: URL

    @property
    def shown(self) -> str:
        url = self.url.difference_update_query(SECRETS)
        public = URL.create(
            url.drivername, username=url.username, host=url.host, port=url.port, database=url.database, query=url.query
        )
        return public.render_as_string(hide_password=False)

    @property
    def is_shared(self) -> bool:
        """Whether several machines may use it."""
        return self.url.drivername == DRIVER


def parse_storage(text: str) -> Place:
    """The place that an address means: sqlite:///FILE or postgresql://USER@HOST/NAME; ConfigError for another one."""
    hint = "give sqlite:///FILE, or postgresql://USER@HOST/NAME"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # which has the address, and so a password
        raise ConfigError("storage is no address of a database", hint=hint) from error.with_traceback(None)
    if url.drivername in ("postgresql", DRIVER):
        require_extra("sweep", "a storage in PostgreSQL", packages=("psycopg",))
        return Place(url.set(drivername=DRIVER))
    database = url.database
    if url.drivername == "sqlite" and database and database != ":memory:":
        return Place(_with_whole_path(url, database))
    raise ConfigError(f"storage is an address of {url.drivername}, which is not known here", hint=hint)


def _with_whole_path(url: URL, database: str) -> URL:
    """The address of the same file from any working directory; one of SQLite's own (file:...) stays as it is."""
    return url if database.startswith("file:") else url.set(database=str(Path(database).resolve()))


def place_again(recorded: str | None, given: str | None) -> Place | None:
    """The storage of a sweep that goes on, from an address that may be given again for its password."""
    known = None if recorded is None else parse_storage(recorded)
    if given is None:
        return known
    place = parse_storage(given)
    if known is None or place.shown != known.shown:
        raise ConfigError(
            f"storage is {place.shown}, but the sweep's is {recorded or 'in its folder'}",
            hint="leave it out, or give the same one",
        )
    return place


def storage_in(folder: Path) -> Place:
    """The database in a sweep's own folder."""
    return Place(URL.create("sqlite", database=str(folder.resolve() / SWEEP_DATABASE)))


@contextmanager
def told_of_storage(place: Place) -> Iterator[None]:
    """RunError, without the password, where the database cannot be used."""
    try:
        yield
    except STORAGE_ERRORS as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        text = reason[0] if reason else type(error).__name__
        for secret in (place.url.password, *(str(place.url.query.get(name, "")) for name in SECRETS)):
            text = text.replace(str(secret), "***") if secret else text
        raise RunError(
            f"the storage {place.shown} cannot be used: {text}",
            hint="check that the database is there and may be written, then go on with --resume",
        ) from None


@contextmanager
def opened_study(place: Place, name: str) -> Iterator[optuna.Study]:
    """The study of this name, made where it is not there; the database is open while this lasts.

    Raises:
        RunError: the database cannot be used, or is of another version of Optuna.
    """
    with told_of_storage(place):
        study, storage = _open(place, name)
        try:
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _open(place: Place, name: str) -> tuple[optuna.Study, optuna.storages.RDBStorage]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = place.url.render_as_string(hide_password=False)
    options = {"connect_args": {"timeout": WAIT_FOR_LOCK_S}} if not place.is_shared else {"pool_pre_ping": True}
    for tried in range(1, TRIES + 1):
        try:
            storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            sampler = optuna.samplers.RandomSampler(seed=0)  # until a trial asks for its own
            study = optuna.create_study(
                study_name=name, storage=storage, direction="maximize", load_if_exists=True, sampler=sampler
            )
            return study, storage
        except RuntimeError as error:
            raise RunError(
                f"the storage {place.shown} is of another version of Optuna: {error}",
                hint="use that version, or another storage",
            ) from error
        except SQLAlchemyError:
            if tried == TRIES:
                raise
            time.sleep(0.2 * tried)
    raise AssertionError
