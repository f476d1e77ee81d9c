"""Array shapes in signatures are checked while the tests run, on every function of the package."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import thumbnet  # it imports no torch, and applies THUMBNET_CPU

if TYPE_CHECKING:
    from thumbnet.data.dataset import Dataset

# A thread that waits for another sleeps, instead of taking a core from the other workers: read when torch is imported.
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["MPLBACKEND"] = "agg"

# The first example of a process takes two seconds on a busy machine: Hypothesis looks for constants in all modules.
settings.register_profile("suite", parent=settings(), suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# The hook below compiles anew whatever is first imported while a module of the package is: so the libraries come first,
# as they were compiled when they were installed. That saves each worker two seconds.
LIBRARIES = (
    "torch",
    "jinja2",
    "matplotlib.figure",
    "pooch",
    "requests",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.neighbors",
)


def pytest_configure(config: pytest.Config) -> None:
    """Check shapes where tests run; the process that only hands them to workers need not wait for the libraries."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    gc.disable()  # until all is imported: what is imported stays
    for library in LIBRARIES:
        importlib.import_module(library)
    import jaxtyping
    import torch

    import shape_checks

    jaxtyping.jaxtyped = shape_checks.decorate  # what the hook puts above each function
    jaxtyping.install_import_hook("thumbnet", "shape_checks.check")  # before the package's own imports
    torch.set_num_threads(1)  # the tests' tensors are small: a second thread would only wait for the first


# Files with tests that take long, first: else one worker would have one of them left when the other has nothing.
LONG = ("test_kernel_check.py", "test_jobs.py", "test_docs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """What was imported is no garbage, and tests leave little: it is looked for seldom while they run."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _cache_of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded pictures are kept among the tests' own files, and not in anybody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THUMBNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tiny_dataset() -> Dataset:
    """Three classes of 12x12 colour noise that differ in their brightest channel: learnt in seconds."""
    import torch

    from thumbnet.data.dataset import Dataset, Source, Split

    generator = torch.Generator().manual_seed(0)

    def split(num_images: int) -> Split:
        labels = torch.arange(num_images) % 3
        images = torch.randint(0, 200, (num_images, 3, 12, 12), generator=generator, dtype=torch.uint8)
        images[torch.arange(num_images), labels] += 40
        return Split(images, labels)

    return Dataset(
        train=split(96),
        val=split(30),
        test=split(45),
        class_names=("red", "green", "blue"),
        mean=(0.45, 0.45, 0.45),
        std=(0.25, 0.25, 0.25),
        flip_keeps_labels=True,
        source=Source("tiny", "colour noise made for tests"),
        val_fraction=0.1,
    )


@pytest.fixture
def own_things() -> Iterator[None]:
    """What a test registers is forgotten after it: models, metrics, data sources and all others."""
    from thumbnet.specs.registry import Registry

    registering = [getattr(thumbnet, name) for name in thumbnet.__all__ if name.startswith("register_")]
    modules = [sys.modules[function.__module__] for function in registering]
    with ExitStack() as stack:
        for module in modules:
            for thing in vars(module).values():
                if isinstance(thing, Registry):
                    stack.enter_context(thing.scope())
        yield


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheels: what `make wheel` made, in THUMBNET_TEST_WHEELS, or what the same program makes now."""
    from installs import ROOT, run

    made = os.environ.get("THUMBNET_TEST_WHEELS")
    if made is not None:
        return Path(made)
    if shutil.which("aarch64-linux-gnu-g++") is None or shutil.which("x86_64-linux-gnu-g++") is None:
        pytest.skip("no g++ for both machines: `make wheel` installs it")
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, ROOT / "tools" / "build_wheel.py", folder)
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two epochs; a test that changes it copies it first."""
    from small_runs import small_config, write_small_data
    from thumbnet.runs.train import train

    folder = tmp_path_factory.mktemp("small")
    data = write_small_data(folder / "data.npz")
    return train(small_config(data, epochs=2), run_dir=folder / "run", log_style="silent", pictures=False).path
