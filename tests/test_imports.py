"""A module imports only what stands above it in this order; only views draw; the public names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
