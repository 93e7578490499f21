"""What the curves of a training say, in plain words: diverging, over-fit, too short, not learning, or sound.

Losses are smoothed by the median of three epochs, and every rule measures a change against the whole fall of
the loss, so that the noise of a loss near 0 is not taken for news. Training losses may hold mixing, smoothing
and augmentation that validation losses do not; the rules look at directions before they look at gaps.

Shape letter: e epochs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from ova.analysis.measures.values import Diagnosis
from ova.arrays import FloatArray
from ova.errors import ArtefactError

_FEWEST_EPOCHS = 4
_RISE = 0.2  # a loss that rises by more than this share is rising
_GAP = 2.0  # a validation loss so many times the training loss is far from it
_BARELY = 0.02  # a loss that falls by less than this share has not fallen
_STILL = 0.05  # of the whole fall, in the last quarter: still falling


@dataclass(frozen=True, eq=False)
class _Curves:
    """Of one network; undefined values are NaN."""

    epoch: FloatArray
    train: FloatArray
    validation: FloatArray
    precision: FloatArray


def diagnose(history: Sequence[Mapping[str, str]], name: str) -> tuple[Diagnosis, ...]:
    """Say what the history of a head shows.

    Args:
        history: Rows of history.csv.
        name: The head, for the message of an error.

    Returns:
        One finding per kind that is seen in any network, the gravest first; "sound" alone if there is none;
        nothing without an epoch.

    Raises:
        ArtefactError: The history is damaged.
    """
    networks = _read(history, name)
    if not networks:
        return ()
    findings = []
    for kind, look in _LOOKS.items():
        texts = [text for text in map(look, networks) if text is not None]
        if texts:
            where = (
                f"In {len(texts)} of {len(networks)} networks, such as this: " if len(networks) > 1 else ""
            )
            findings.append(Diagnosis(kind, where + texts[0] + _ADVICE[kind]))
    return tuple(findings) or (Diagnosis("sound", "Losses fall and flatten out; nothing stands out."),)


def _diverging(curves: _Curves) -> str | None:
    train, epoch = curves.train, curves.epoch
    smooth = _smooth(train)
    lowest = int(smooth.argmin())
    rise = smooth[-1] - smooth[lowest]
    if rise > _RISE * max(smooth[0] - smooth[lowest], smooth[lowest]):
        return (
            f"The training loss rose from {smooth[lowest]:.3g} around epoch {epoch[lowest]:.0f} "
            f"to {smooth[-1]:.3g} at the end."
        )
    highest = int(train.argmax())
    if train[highest] > 3.0 * train[0] and highest:
        return f"The training loss leapt to {train[highest]:.3g} in epoch {epoch[highest]:.0f}."
    return None


def _over_fit(curves: _Curves) -> str | None:
    train, validation, epoch = _smooth(curves.train), _smooth(curves.validation), curves.epoch
    if np.isnan(validation).any():
        return None
    lowest = int(validation.argmin())
    rise = validation[-1] / max(validation[lowest], 1e-12) - 1.0
    if rise > _RISE and train[-1] < train[lowest]:
        return (
            f"The validation loss was lowest around epoch {epoch[lowest]:.0f} ({validation[lowest]:.3g}) and "
            f"rose to {validation[-1]:.3g} while the training loss went on falling to {train[-1]:.3g}."
        )
    if validation[-1] > _GAP * train[-1] and validation[-1] - train[-1] > _RISE * train[0]:
        return (
            f"The validation loss ended at {validation[-1]:.3g}, {validation[-1] / train[-1]:.1f} times "
            f"the training loss ({train[-1]:.3g})."
        )
    return None


def _too_short(curves: _Curves) -> str | None:
    epochs = len(curves.epoch)
    if epochs < _FEWEST_EPOCHS:
        return f"There are only {epochs} epochs, too few to say how the training went."
    validation = _smooth(curves.validation)
    if np.isnan(validation).any() or np.isnan(curves.precision).all():
        return None
    best = int(np.nanargmax(curves.precision))
    quarter = max(1, epochs // 4)
    late = validation[-1 - quarter] - validation[-1]
    if best >= epochs - max(1, epochs // 10) and late > _STILL * (validation.max() - validation.min()) > 0:
        return (
            f"The best epoch is {curves.epoch[best]:.0f} of {epochs}, and the validation loss was still "
            f"falling: from {validation[-1 - quarter]:.3g} to {validation[-1]:.3g} in the last {quarter}."
        )
    return None


def _not_learning(curves: _Curves) -> str | None:
    train = _smooth(curves.train)
    if len(train) < _FEWEST_EPOCHS or train.min() < (1.0 - _BARELY) * train[0]:
        return None
    return f"The training loss began at {train[0]:.3g} and never fell below {train.min():.3g}."


_LOOKS: dict[str, Callable[[_Curves], str | None]] = {
    "diverging": _diverging,
    "not learning": _not_learning,
    "over-fit": _over_fit,
    "too short": _too_short,
}
_ADVICE = {
    "diverging": " The rate is too high: lower training.learning_rate, add warmup_epochs, or set clip.",
    "not learning": " Raise training.learning_rate, unfreeze more, or check that the labels fit the images.",
    "over-fit": " The head learns its images by heart: augment more, raise weight_decay or dropout, take a"
    " smaller backbone, or add images. The weights of the best epoch are kept, whichever it was.",
    "too short": " Train for more epochs.",
}


def _smooth(values: FloatArray) -> FloatArray:
    return median_filter(values, size=3, mode="nearest") if values.size >= _FEWEST_EPOCHS else values


def _read(history: Sequence[Mapping[str, str]], name: str) -> list[_Curves]:
    members: dict[int, list[list[float]]] = defaultdict(list)
    columns = ("epoch", "train_loss", "validation_loss", "validation_average_precision")
    try:
        for row in history:
            members[int(row["member"])].append([float(row[column] or "nan") for column in columns])
    except (KeyError, ValueError) as error:
        raise ArtefactError(f"the history of head {name} is damaged: {error}; train it again") from error
    return [_Curves(*np.array(sorted(rows)).T) for _, rows in sorted(members.items())]
