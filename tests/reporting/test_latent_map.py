"""The latent map, read back from the figure that it draws."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.decomposition import PCA

from vaeworks.model import ImageSchema
from vaeworks.reporting import latent_map, png, quantile_grid

DIGITS = ImageSchema((1, 8, 8), "L", 17, classes=tuple("0123456789"))


def offsets(axes) -> np.ndarray:
    return np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def opens(figure) -> tuple[int, int]:
    return Image.open(io.BytesIO(png(figure))).size


def test_two_dimensions_are_shown_as_they_are():
    z, labels = torch.randn(50, 2), torch.arange(50) % 10
    figure = latent_map(z, labels, DIGITS.classes)
    (axes,) = figure.axes
    assert np.allclose(np.sort(offsets(axes), 0), np.sort(z.numpy(), 0))
    for label, points in enumerate(axes.collections):
        assert np.allclose(points.get_offsets(), z[labels == label])
    assert legend(axes) == list("0123456789")
    colors = {tuple(c.get_facecolor()[0][:3]) for c in axes.collections}
    assert len(colors) == 10


def test_more_dimensions_are_projected_as_sklearn_does():
    z = torch.randn(200, 6, dtype=torch.float64) * torch.tensor([3.0, 2, 1, 1, 1, 0.5])
    figure = latent_map(z)
    reference = PCA(2).fit(z.numpy())
    found = np.asarray(offsets(figure.axes[0]))
    expected = reference.transform(z.numpy())
    for i in range(2):
        assert np.allclose(np.sort(np.abs(found[:, i])), np.sort(np.abs(expected[:, i])), atol=1e-4)
    assert f"{reference.explained_variance_ratio_.sum():.0%}" in figure.axes[0].get_title()
    assert "PCA of 6 dimensions" in figure.axes[0].get_title()


def test_one_dimension_is_a_histogram():
    z, labels = torch.randn(100, 1), torch.arange(100) % 3
    for figure in (latent_map(z), latent_map(z, labels, ("a", "b", "c"))):
        assert sum(patch.get_height() for patch in figure.axes[0].patches) >= 100


def test_the_decoded_grid_stands_at_the_quantiles_of_the_prior():
    seen = []

    def decoded(z):
        seen.append(z)
        return z[:, :1].view(-1, 1, 1, 1).gt(0).float().expand(-1, 1, 8, 8)

    figure = latent_map(torch.randn(30, 2), decoded=decoded, schema=DIGITS)
    codes = torch.cat(seen).numpy()
    even = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert np.allclose(codes[:20, 0], even, atol=1e-5), "z1 grows to the right"
    assert np.allclose(codes[::20, 1], even[::-1], atol=1e-5), "z2 grows upwards"
    picture = np.asarray(figure.axes[1].images[0].get_array())
    assert set(np.unique(picture[:, : picture.shape[1] // 2 - 2])) == {0, 200}, "black on the left, where z1 < 0"
    assert set(np.unique(picture[:, picture.shape[1] // 2 + 2 :])) == {255, 200}


def test_without_a_normal_prior_the_grid_covers_the_means():
    means = torch.stack([torch.linspace(10, 20, 1001), torch.linspace(-5, 5, 1001)], 1)
    codes = quantile_grid(means, normal_prior=False, side=5)
    assert 10 < codes[:, 0].min() < codes[:, 0].max() < 20
    assert torch.allclose(codes.mean(0), means.mean(0), atol=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 3])
def test_few_or_equal_items_are_no_trouble(n, dimensions):
    latent_map(torch.randn(n, dimensions), torch.zeros(n, dtype=torch.int64), ("only",)).draw_without_rendering()
    latent_map(torch.zeros(n, dimensions), torch.full((n,), -1)).draw_without_rendering()


def test_many_classes_are_coloured_by_number():
    figure = latent_map(torch.randn(300, 2), torch.arange(300) % 100)
    assert figure.axes[0].get_legend() is None
    assert figure.axes[1].get_ylabel() == "class number"
    opens(figure)


def test_unlabelled_items_are_told_apart():
    figure = latent_map(torch.randn(30, 2), torch.arange(30) % 3 - 1, ("a", "b"))
    assert legend(figure.axes[0]) == ["unlabelled", "a", "b"]


def test_hostile_class_names_are_drawn_as_they_are():
    names = ("$\\frac{", "_hidden", "名前", "x" * 500, " ")
    figure = latent_map(torch.randn(50, 2), torch.arange(50) % 5, names)
    opens(figure)  # any warning is an error
    shown = legend(figure.axes[0])
    assert len(shown) == 5
    assert shown[2] == "class 2"
    assert all(len(name) < 40 for name in shown)


def test_no_text_is_clipped():
    names = tuple(f"a class with a long name {i}" for i in range(20))
    figure = latent_map(torch.randn(200, 2), torch.arange(200) % 20, names, lambda z: torch.zeros(len(z), 1, 8, 8), DIGITS)
    pixels = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L"))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all(), "the margin is empty"
