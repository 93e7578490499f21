"""The regression is that of scikit-learn, its strength the one that brute force finds, its bits those of one thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_info, threadpool_limits

from ova.heads.features import logistic as logistic_module
from ova.heads.features.logistic import STRENGTHS, Linear, LogisticFit, fit_logistic

MIDDLE = STRENGTHS[len(STRENGTHS) // 2]
SHAPES = {"more features than rows": (40, 90), "more rows than features": (120, 15)}


def draw(
    rows: int, features: int, seed: int = 0, signal: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features of unlike units, labels that depend on some of them, weights, and folds."""
    generator = np.random.default_rng(seed)
    units = np.exp(generator.normal(0, 2, features))
    plain = generator.normal(0, 1, (rows, features))
    logits = signal * plain[:, : min(4, features)].sum(axis=1) - 0.5
    labels = (generator.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    labels[:4] = 0, 1, 0, 1
    weights = np.where(labels == 1, 3.0, 1.0) * generator.uniform(0.5, 1.5, rows)
    shifted = (plain + generator.normal(0, 3, features)) * units
    return shifted.astype(np.float32), labels, weights, np.arange(rows) % 4


def standardised(features: np.ndarray) -> np.ndarray:
    exact = features.astype(np.float64)
    return (exact - exact.mean(axis=0)) / exact.std(axis=0)


def reference(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float) -> Linear:
    """The same optimum by another solver, to the last digits."""
    solver = "newton-cholesky" if len(rows) > rows.shape[1] else "newton-cg"
    model = LogisticRegression(C=strength / weights.sum(), solver=solver, tol=1e-12, max_iter=10_000)
    with warnings.catch_warnings():  # the line search of newton-cg says that it cannot get any closer
        warnings.simplefilter("ignore")
        model.fit(rows, labels, sample_weight=weights)
    return Linear(model.coef_[0], float(np.asarray(model.intercept_)[0]))


def brute_force(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, folds: np.ndarray
) -> tuple[list[float], float]:
    """Average precision of every strength, and the strongest within a thousandth of the best."""
    rows, found = standardised(features), []
    for strength in STRENGTHS:
        scores = np.empty(len(labels))
        for fold in np.unique(folds):
            seen = folds != fold
            fitted = reference(rows[seen], labels[seen], weights[seen], strength)
            scores[~seen] = rows[~seen] @ fitted.weights + fitted.bias
        found.append(float(average_precision_score(labels, scores)))
    return found, next(
        s
        for s, value in zip(STRENGTHS, found, strict=True)
        if value >= max(found) - logistic_module._NEGLIGIBLE
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_every_strength_of_newtons_path_is_the_optimum_of_scikit_learn(shape: str) -> None:
    features, labels, weights, _ = draw(*SHAPES[shape])
    rows = standardised(features)
    path = list(logistic_module._by_newton(rows, labels, weights, STRENGTHS))
    assert len(path) == len(STRENGTHS)
    for strength, found in zip(STRENGTHS, path, strict=True):
        wanted = reference(rows, labels, weights, strength)
        size = float(np.abs(wanted.weights).max())
        np.testing.assert_allclose(found.weights, wanted.weights, rtol=0, atol=1e-5 * size)
        assert found.bias == pytest.approx(wanted.bias, abs=1e-5 * max(1.0, abs(wanted.bias)))


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_count_as_rows_that_are_there_so_often(shape: str) -> None:
    features, labels, _, _ = draw(*SHAPES[shape])
    rows = standardised(features)
    often = np.where(labels == 1, 3, 1)
    repeated = np.repeat(rows, often, axis=0)
    for once, many in zip(
        logistic_module._by_newton(rows, labels, often.astype(np.float64), STRENGTHS),
        logistic_module._by_newton(repeated, np.repeat(labels, often), np.ones(len(repeated)), STRENGTHS),
        strict=True,
    ):
        np.testing.assert_allclose(once.weights, many.weights, rtol=0, atol=1e-4 * np.abs(once.weights).max())
        assert once.bias == pytest.approx(many.bias, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_many_rows_give_what_few_rows_give_by_another_method(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    data = draw(*SHAPES[shape])
    by_newton = fit_logistic(*data)
    used: list[int] = []
    original = logistic_module._by_lbfgs

    def spy(rows: np.ndarray, *rest: object) -> object:
        used.append(len(rows))
        return original(rows, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(logistic_module, "_by_lbfgs", spy)
    monkeypatch.setattr(logistic_module, "_MOST_ROWS_BY_NEWTON", len(data[0]) - 1)
    by_lbfgs = fit_logistic(*data)
    assert used
    assert by_lbfgs.strength == by_newton.strength
    both = zip(
        by_lbfgs.average_precision, by_newton.average_precision, strict=False
    )  # one may give up earlier
    assert all(one == pytest.approx(other, abs=0.01) for one, other in both)
    logits = by_newton.linear(data[0])
    np.testing.assert_allclose(by_lbfgs.linear(data[0]), logits, atol=0.02 * np.ptp(logits))


def test_the_result_takes_features_in_their_own_units() -> None:
    features, labels, weights, _ = draw(80, 30)
    fit = fit_logistic(features, labels, weights, None)
    wanted = reference(standardised(features), labels, weights, MIDDLE)
    on_standardised = standardised(features) @ wanted.weights + wanted.bias
    np.testing.assert_allclose(fit.linear(features), on_standardised, atol=1e-4)
    exact = features.astype(np.float64) @ fit.linear.weights + fit.linear.bias
    np.testing.assert_array_equal(fit.linear(features), exact.astype(np.float32))


def test_units_of_features_are_of_no_consequence() -> None:
    features, labels, weights, folds = draw(80, 30)
    plain = fit_logistic(features, labels, weights, folds)
    other = features * np.float32(1024)  # a power of two, so that no digit changes
    moved = fit_logistic(other, labels, weights, folds)
    assert moved.strength == plain.strength
    np.testing.assert_allclose(moved.linear(other), plain.linear(features), atol=1e-6)


def test_constant_features_do_no_harm() -> None:
    features, labels, weights, folds = draw(60, 20)
    constants = np.tile(np.array([0.0, 0.1, -1e6, 1e-30], np.float32), (60, 1))
    with_constants = fit_logistic(np.hstack([features, constants]), labels, weights, folds)
    without = fit_logistic(features, labels, weights, folds)
    assert with_constants.strength == without.strength
    np.testing.assert_allclose(with_constants.linear.weights[:20], without.linear.weights, rtol=1e-9)
    assert (with_constants.linear.weights[20:] == 0).all()
    assert with_constants.linear.bias == pytest.approx(without.linear.bias, rel=1e-9)


@pytest.mark.parametrize("most", [2500, 0])
def test_classes_that_lie_apart_come_to_an_end(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(logistic_module, "_MOST_ROWS_BY_NEWTON", most)
    generator = np.random.default_rng(3)
    labels = (np.arange(50) % 5 == 0).astype(np.int8)
    features = (generator.normal(0, 0.01, (50, 8)) + labels[:, None]).astype(np.float32)
    fit = fit_logistic(features, labels, np.where(labels == 1, 4.0, 1.0), np.arange(50) // 10)
    assert fit.average_precision[0] == 1.0
    assert fit.strength == STRENGTHS[0]
    assert np.isfinite(fit.linear.weights).all()
    assert (fit.linear(features) > fit.linear(features)[labels == 0].max()).sum() == labels.sum()
    weak = list(
        logistic_module._by_newton(standardised(features), labels, np.ones(50), (*STRENGTHS, 1e6, 1e9))
    )
    sizes = [float(np.linalg.norm(each.weights)) for each in weak]
    assert np.isfinite(sizes).all()
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("seed", range(4))
def test_the_strength_is_the_one_that_brute_force_finds(seed: int) -> None:
    data = draw(90, 40, seed, signal=0.5)
    fit = fit_logistic(*data)
    found, chosen = brute_force(*data)
    tried = fit.average_precision
    np.testing.assert_allclose(tried, found[: len(tried)], atol=1e-6)
    # It gave up early only where nothing better came; else brute force would have chosen another.
    assert fit.strength == chosen
    refit = reference(standardised(data[0]), data[1], data[2], chosen)
    logits = standardised(data[0]) @ refit.weights + refit.bias
    np.testing.assert_allclose(fit.linear(data[0]), logits, atol=1e-4 * np.ptp(logits))


def test_different_data_want_different_strengths() -> None:
    chosen = {fit_logistic(*draw(90, 40, seed, signal=0.5)).strength for seed in range(4)}
    assert len(chosen) > 1


Found = Callable[[Sequence[float]], LogisticFit]


@pytest.fixture
def with_precisions(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Fit with average precisions that are given."""

    def fit(precisions: Sequence[float]) -> LogisticFit:
        told = iter(precisions)
        monkeypatch.setattr(logistic_module, "average_precision", lambda labels, scores: next(told))
        return fit_logistic(*draw(30, 5))

    return fit


def test_of_strengths_within_a_thousandth_the_strongest_is_taken(with_precisions: Found) -> None:
    assert with_precisions([0.5] * 9).strength == STRENGTHS[0]
    assert with_precisions([0.5, 0.7, 0.8, 0.7995, 0.8005, 0.8, 0.8, 0.8, 0.8]).strength == STRENGTHS[2]
    assert with_precisions([0.5, 0.7, 0.8, 0.7995, 0.802, 0.8, 0.8, 0.8, 0.802]).strength == STRENGTHS[4]


def test_weaker_ones_are_left_out_after_two_that_are_worse(with_precisions: Found) -> None:
    stopped = with_precisions([0.5, 0.8, 0.7, 0.7])
    assert (stopped.average_precision, stopped.strength) == ((0.5, 0.8, 0.7, 0.7), STRENGTHS[1])
    assert with_precisions([0.5, 0.8, 0.7, 0.9, 0.7, 0.8]).strength == STRENGTHS[3]
    assert len(with_precisions([0.5, 0.8, *[0.7995] * 7]).average_precision) == len(STRENGTHS)


def test_without_folds_the_middle_strength_is_kept() -> None:
    features, labels, weights, _ = draw(40, 10)
    fit = fit_logistic(features, labels, weights, None)
    assert (fit.strength, fit.average_precision) == (MIDDLE, ())
    wanted = reference(standardised(features), labels, weights, MIDDLE)
    np.testing.assert_allclose(
        fit.linear.weights, wanted.weights / features.astype(np.float64).std(axis=0), rtol=1e-3
    )


@pytest.mark.parametrize("most", [2500, 0])
def test_the_number_of_threads_is_of_no_consequence(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(logistic_module, "_MOST_ROWS_BY_NEWTON", most)
    monkeypatch.setattr(logistic_module, "STRENGTHS", STRENGTHS[:3])
    seen: list[int] = []
    original = logistic_module._compare

    def spy(*arguments: object) -> object:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return original(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(logistic_module, "_compare", spy)
    data, fits = draw(400, 300, signal=0.5), []
    for threads in (1, 2):
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(fit_logistic(*data))
    one, two = fits
    assert set(seen) == {1}
    assert one.linear.weights.tobytes() == two.linear.weights.tobytes()
    assert (one.linear.bias, one.average_precision) == (two.linear.bias, two.average_precision)
