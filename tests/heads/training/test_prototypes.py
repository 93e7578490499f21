"""Prototypes: real rows, as many as asked for, spread over all that there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling import ClusterCentroids
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import pairwise_distances
from threadpoolctl import threadpool_info, threadpool_limits

from ova.heads.training.prototypes import choose_prototypes


def blobs(count: int, clusters: int, seed: int = 0) -> np.ndarray:
    """Vectors (count, 5) around far centres, of which the later ones are rare."""
    generator = np.random.default_rng(seed)
    cluster = np.sort(generator.integers(0, clusters, count) * generator.integers(0, 2, count))
    cluster[-clusters:] = np.arange(clusters)
    return (100 * np.eye(clusters, 5)[cluster] + generator.normal(size=(count, 5))).astype(np.float32)


def test_every_cluster_gives_the_row_that_imbalanced_learn_takes() -> None:
    vectors = blobs(400, 5)
    chosen = choose_prototypes(vectors, 5, seed=3)
    assert sorted(np.argmax(vectors[chosen], axis=1)) == [0, 1, 2, 3, 4]
    theirs = ClusterCentroids(
        sampling_strategy={0: 5}, voting="hard", estimator=MiniBatchKMeans(5, n_init=1, random_state=3)
    )
    labels = np.array([0] * 400 + [1] * 3)
    expected, _ = theirs.fit_resample(np.concatenate([vectors, vectors[:3] - 500]), labels)
    assert {row.tobytes() for row in vectors[chosen]} == {row.tobytes() for row in expected[:5]}


def test_prototypes_cover_better_than_chance() -> None:
    vectors = blobs(600, 5, seed=1)
    chosen = choose_prototypes(vectors, 40, seed=0)
    worst = pairwise_distances(vectors, vectors[chosen]).min(1).max()
    generator = np.random.default_rng(0)
    by_chance = [
        pairwise_distances(vectors, vectors[generator.choice(600, 40, replace=False)]).min(1).max()
        for _ in range(20)
    ]
    assert worst < np.median(by_chance)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**63 - 1))
def test_as_many_rows_as_asked_for_even_among_equals(
    count: int, distinct: int, wanted: int, seed: int
) -> None:
    vectors = (
        np.random.default_rng(0).normal(size=(distinct, 3)).astype(np.float32)[np.arange(count) % distinct]
    )
    chosen = choose_prototypes(vectors, wanted, seed)
    assert len(chosen) == min(wanted, count)
    assert (np.diff(chosen) > 0).all()
    assert set(chosen.tolist()) <= set(range(count))


def test_the_seed_alone_decides_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(700, 16)).astype(np.float32)
    used: list[int] = []
    original = MiniBatchKMeans.fit

    def spy(self: MiniBatchKMeans, *rest: object) -> MiniBatchKMeans:
        used.extend(pool["num_threads"] for pool in threadpool_info())
        return original(self, *rest)

    monkeypatch.setattr(MiniBatchKMeans, "fit", spy)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(choose_prototypes(vectors, 30, seed=5).tolist())
    assert found[0] == found[1]
    assert set(used) == {1}
    assert choose_prototypes(vectors, 30, seed=6).tolist() != found[0]
