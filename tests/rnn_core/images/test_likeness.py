"""Likeness of images by histograms, against a plain count."""

import numpy as np

from rnn_core.images import likeness


def test_colours_are_counted_in_each_quarter() -> None:
    image_YXC = np.random.default_rng(0).integers(0, 256, (10, 8, 3), np.uint8)
    found = likeness.colours(image_YXC).reshape(2, 2, -1)
    for row in range(2):
        for column in range(2):
            part = image_YXC[5 * row : 5 * row + 5, 4 * column : 4 * column + 4].reshape(-1, 3)
            counts = np.zeros(64)
            for red, green, blue in part:
                counts[red // 64 + 4 * (green // 64) + 16 * (blue // 64)] += 1
            np.testing.assert_allclose(found[row, column] ** 2, counts / 20 / 4, rtol=1e-5)


def test_edges_count_by_direction_and_strength_where_they_are() -> None:
    """A step from dark to bright, to the right, in the middle column of nine parts."""
    image_YXC = np.zeros((18, 18, 3), np.uint8)
    image_YXC[:, 9:] = 200
    found = likeness.edges(image_YXC).reshape(3, 3, likeness.DIRECTIONS) ** 2
    np.testing.assert_allclose(found[:, 1, 0], 1 / 9, rtol=1e-5)
    assert found[:, [0, 2]].sum() == 0
    assert found[:, 1, 1:].sum() == 0
    down = likeness.edges(image_YXC.transpose(1, 0, 2)).reshape(3, 3, likeness.DIRECTIONS) ** 2
    np.testing.assert_allclose(down[1, :, likeness.DIRECTIONS // 4], 1 / 9, rtol=1e-5)


def test_an_image_without_edges_has_no_directions_and_images_of_any_shape_compare() -> None:
    assert likeness.edges(np.full((5, 7, 3), 9, np.uint8)).sum() == 0
    assert likeness.edges(np.zeros((3, 3, 3), np.uint8)).shape == likeness.edges(np.zeros((50, 20, 3), np.uint8)).shape


def test_distances_are_those_of_the_square_roots_of_shares() -> None:
    rng = np.random.default_rng(0)
    some = [np.stack([likeness.colours(rng.integers(0, 256, (6, 6, 3), np.uint8)) for _ in range(n)]) for n in (3, 4)]
    found = likeness.distances(*some)
    plain = [[np.sqrt(((a.astype(float) - b) ** 2).sum()) for b in some[1]] for a in some[0]]
    np.testing.assert_allclose(found, plain, atol=1e-5)
    np.testing.assert_allclose(np.diag(likeness.distances(some[0], some[0])), 0, atol=1e-3)
