"""Spherical k-means and communities against their definitions."""

import numpy as np
import pytest
from embeddings_toy import cosine, modest, random_vectors, vectors
from hypothesis import given
from hypothesis import strategies as st

from minidistil.embeddings import cluster, communities
from minidistil.errors import UsageError


def groups_on_a_sphere(k=4, each=30, seed=3):
    middles = np.eye(8)[:k] * 5
    x = np.repeat(middles, each, axis=0) + np.random.default_rng(seed).standard_normal((k * each, 8)) * 0.3
    return x.astype(np.float32), np.repeat(np.arange(k), each)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_that_are_there_are_found(seed):
    x, truth = groups_on_a_sphere()
    found = cluster(x * np.linspace(0.1, 9, len(x))[:, None], 4, seed=seed)
    assert len(set(zip(found.labels.tolist(), truth.tolist(), strict=True))) == 4
    assert len(set(found.labels.tolist())) == 4
    again = cluster(x * np.linspace(0.1, 9, len(x))[:, None], 4, seed=seed)
    for ours, theirs in zip(found, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@modest
@given(data=st.data())
def test_clusters_are_consistent(data):
    x = data.draw(vectors(st.integers(1, 12)))
    k = data.draw(st.integers(1, len(x)))
    found = cluster(x, k, seed=data.draw(st.integers(0, 3)))
    cosines = np.array([[cosine(row, c) for c in found.centroids] for row in x])
    np.testing.assert_allclose(found.cosines, cosines.max(1), atol=1e-6)
    np.testing.assert_allclose(cosines[np.arange(len(x)), found.labels], cosines.max(1), atol=1e-6)
    for j in range(k):
        members = np.flatnonzero(found.labels == j)
        if not len(members):
            assert found.nearest[j] == -1
            continue
        assert found.nearest[j] == members[found.cosines[members].argmax()]
        units = [x[i] / max(np.linalg.norm(x[i]), 1e-9) for i in members]
        mean = np.sum(units, axis=0)
        if np.linalg.norm(mean) > 1e-6:
            np.testing.assert_allclose(found.centroids[j], mean / np.linalg.norm(mean), atol=1e-5)


def test_each_round_raises_the_cosines():
    x = random_vectors(300, 6)
    sums = [cluster(x, 7, max_rounds=n).cosines.sum(dtype=np.float64) for n in range(12)]
    assert (np.diff(sums) > -1e-4).all()
    assert sums[-1] > sums[0] + 1


def test_the_start_is_spread():
    """k-means++ puts one centroid into each of groups far apart; a start drawn evenly often does not."""
    x, truth = groups_on_a_sphere(k=8, each=10)
    starts = [cluster(x, 8, seed=seed, max_rounds=0).nearest for seed in range(20)]
    hit = [len(set(truth[start].tolist())) for start in starts]
    assert np.mean(hit) > 7, "8 drawn evenly hit 8 - 8 (7/8)^8 = 5.3 of 8 groups"


def test_as_many_clusters_as_vectors():
    x = np.eye(4, dtype=np.float32)
    assert sorted(cluster(x, 4).labels.tolist()) == [0, 1, 2, 3]
    alike = cluster(np.ones((5, 2)), 3)
    assert alike.labels.tolist() == [0] * 5
    assert alike.nearest.tolist() == [0, -1, -1]
    for k in (0, 5):
        with pytest.raises(UsageError, match="1 to 4 clusters"):
            cluster(x, k)


def stars(x, threshold):
    near = [[j for j in range(len(x)) if j != i and cosine(x[i], x[j]) >= threshold] for i in range(len(x))]
    free, groups = set(range(len(x))), []
    while free:
        centre = min(free, key=lambda i: (-len(near[i]), i))
        free.discard(centre)
        members = [j for j in near[centre] if j in free]
        free -= set(members)
        groups.append([centre, *members])
    return sorted(groups, key=lambda g: (-len(g), g[0]))


@modest
@given(x=vectors(st.integers(0, 12)), threshold=st.sampled_from([0, 0.4, 0.9]), least=st.integers(1, 4))
def test_communities_are_stars(x, threshold, least):
    found = communities(x, threshold, min_size=least)
    assert [group.tolist() for group in found] == [g for g in stars(x, threshold) if len(g) >= least]


def test_communities_make_no_chains():
    angles = np.deg2rad([0, 20, 40, 60, 80])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert [group.tolist() for group in communities(x, np.cos(np.deg2rad(25)))] == [[1, 0, 2], [3, 4]]
