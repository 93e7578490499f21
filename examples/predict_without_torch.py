"""Predict with an exported ensemble in a process that never imports torch.

    python examples/predict_without_torch.py cells/runs/ensembles/all new-photos/1.png new-photos/2.png

Without arguments another process trains a small ensemble first (add_a_head.py), and its images are predicted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import ova


def make_ensemble(folder: Path) -> tuple[Path, list[Path]]:
    """Train and export in another process; return the exported folder and some images."""
    program = Path(__file__).with_name("add_a_head.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, stdout=subprocess.DEVNULL)
    images = sorted(folder.glob("data/cells/images/*.png"))
    return folder / "runs/ensembles/both", images[13:18]  # two of the five have defects


def main(exported: Path, images: list[Path]) -> None:
    """Load the model, which is refused if it is not the one that was measured, and print what it says."""
    model = ova.CombinedModel.load(exported)
    print(f"{model.mode}: {', '.join(model.labels)}")
    for prediction in model.predict(images):
        if prediction.error:  # the other images are answered all the same
            print(prediction.error)
            continue
        fired = [label for label, yes in prediction.decisions.items() if yes]
        chances = ", ".join(f"{label} {value:.3f}" for label, value in prediction.probabilities.items())
        print(f"{Path(prediction.image).name}: {' and '.join(fired) or 'none'} ({chances})")
    assert "torch" not in sys.modules
    print("without torch")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]), [Path(image) for image in sys.argv[2:]])
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            main(*make_ensemble(Path(temporary)))
