"""What a network sees of a row."""

import math

import torch

from vaeworks.distributions.margins import Margin
from vaeworks.model import Encoder
from vaeworks.model.row_view import FAR, WIDE, RowView
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior

MARGINS = (Margin("gaussian"), Margin("categorical", size=3), Margin("negative-binomial"), Margin("boolean", size=2))
ROW = torch.tensor([[0.5, 2.0, 7.0, 1.0]])


def test_numbers_logarithms_of_counts_one_hot_categories_and_flags() -> None:
    shown, seen = RowView(MARGINS)(ROW)
    assert seen is None
    torch.testing.assert_close(shown, torch.tensor([[0.5, 0, 0, 1, math.log(8), 0, 1, 0, 0, 0, 0]]))


def test_what_is_missing_is_flagged_and_not_seen() -> None:
    observed = torch.tensor([[True, False, False, True]])
    shown, seen = RowView(MARGINS)(ROW.masked_fill(~observed, torch.nan), observed)
    assert shown.isfinite().all()
    assert shown[0, -4:].tolist() == [0, 1, 1, 0]
    assert seen.tolist() == [[True, False, False, False, False, True, True, True, True, True, True]]


def test_a_wide_table_has_no_flags_and_a_far_number_does_not_drown_others() -> None:
    view = RowView((Margin("gaussian"),) * (WIDE + 1))
    assert view.size == WIDE + 1
    assert view(torch.full((1, WIDE + 1), 1e6))[0].max() == FAR


def test_missing_cells_do_not_reach_the_posterior() -> None:
    view, posterior = RowView(MARGINS), DiagonalNormalPosterior(2)
    encoder = Encoder(MLP((view.size,), posterior.parameter_shape), posterior, mean=torch.full((view.size,), 0.3), view=view)
    observed = torch.tensor([[True, False, True, False]])
    means = [encoder(torch.where(observed, ROW, filling), observed).mean for filling in (0.0, 1.0, torch.nan)]
    assert torch.equal(means[0], means[1])
    assert torch.equal(means[0], means[2])
    assert not torch.equal(means[0], encoder(ROW).mean)
