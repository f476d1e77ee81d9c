"""A module imports only what stands above it in this order; only views draw; the public names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import thumbnet

SOURCE = Path(thumbnet.__file__).parent
ORDER = (
    "errors", "atomic", "terminal", "specs", "config", "recipes", "data", "augment", "kernels", "models",
    "evaluation", "training", "trained", "views", "runs", "export", "bench", "data_check", "cli", "__main__",
)  # fmt: skip
DRAWING = ("matplotlib", "seaborn", "plotly")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def place_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def test_every_module_has_its_place_in_the_order() -> None:
    assert {place_of(path) for path in modules()} == set(ORDER)


def test_the_house_stays_small() -> None:
    assert len(ORDER) <= 20
    assert {path.name for path in SOURCE.glob("*.py")} == {
        "__init__.py", "__main__.py", "atomic.py", "config.py", "errors.py",
    }  # fmt: skip


def test_training_does_not_import_evaluation() -> None:
    for path in (SOURCE / "training").glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith("thumbnet.evaluation")], path


def test_imports_point_upwards_only() -> None:
    for path in modules():
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "thumbnet" and len(parts) > 1:
                assert ORDER.index(parts[1]) <= ORDER.index(place_of(path)), f"{path} imports {name}"


def test_no_module_is_a_drawer() -> None:
    assert not [path for path in modules() if path.stem in ("utils", "common", "helpers", "misc")]


def test_only_views_import_a_plotting_library() -> None:
    for path in modules():
        if place_of(path) != "views":
            assert not [name for name in imports_of(path) if name.split(".")[0] in DRAWING], path


def test_every_public_name_is_there() -> None:
    for name in thumbnet.__all__:
        assert getattr(thumbnet, name) is not None
    assert set(dir(thumbnet)) == set(thumbnet.__all__)


def test_importing_the_package_is_light() -> None:
    code = "import thumbnet, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_predicting_a_picture_imports_no_torch(tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    code = "from thumbnet.cli import main; import sys; main(['predict', *sys.argv[1:]]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, picture], capture_output=True, text=True, check=True)
    assert "thumbnet.trained.predictor" in done.stdout.split()
    assert "torch" not in done.stdout.split()


def test_predicting_imports_neither_scikit_learn_nor_a_plotting_library() -> None:
    code = "from thumbnet import load_pretrained, predict; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "thumbnet.trained.model" in done.stdout.split()
    assert not set(done.stdout.split()) & {"sklearn", *DRAWING}


# Run by Python with a folder that holds images.npz: prints what is imported once the first epoch was scored.
ONE_EPOCH = """
import sys
import thumbnet.cli.training_output, thumbnet.runs.folds.train, thumbnet.runs.jobs.carried
from thumbnet import load_recipe, train
given = {"data": f"npz:{sys.argv[1]}/images.npz", "epochs": 1, "batch_size": 32, "kernels": "pytorch"}
train(
    load_recipe("sprint", options=given), run_dir=f"{sys.argv[1]}/run", log_style="silent", pictures=False,
    on_epoch_end=lambda state: print(*sys.modules),
)
"""


def test_a_training_begins_without_what_only_its_results_need(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (80, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(80) % 4)
    done = subprocess.run([sys.executable, "-c", ONE_EPOCH, tmp_path], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"thumbnet.runs.train", "thumbnet.runs.seeds.train", "thumbnet.runs.folds.train"} <= imported
    assert not imported & {"sklearn", "scipy.stats", "scipy.special", "joblib", "torch._dynamo", *DRAWING}
