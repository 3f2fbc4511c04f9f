"""Which items a step takes."""

from __future__ import annotations

import torch

from vaeworks.data import Items
from vaeworks.training.order import LABELLED_EVERY, Order


def items(labelled: int, count: int = 160) -> Items:
    labels = torch.full((count,), -1)
    labels[torch.randperm(count, generator=torch.Generator().manual_seed(1))[:labelled]] = 3
    return Items(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), labels)


def test_labels_that_are_rare_come_in_every_batch_each_as_often_as_another() -> None:
    few = items(5)
    order, known = Order(few, 16, labels_matter=True), (few.labels >= 0).nonzero()[:, 0].tolist()
    assert order.share == 5 / 160
    torch.manual_seed(0)
    seen = torch.zeros(160)
    for step in range(2000):
        index = order.at(step, seed=0)
        assert set(index[::LABELLED_EVERY].tolist()) <= set(known)
        seen.index_add_(0, index, torch.ones(16))
    others = torch.ones(160, dtype=torch.bool)
    others[known] = False
    for group in (seen[~others], seen[others]):  # uniform within each, by chi-squared
        statistic = ((group - group.mean()).square() / group.mean()).sum()
        assert statistic < len(group) + 5 * (2 * len(group)) ** 0.5


def test_elsewhere_an_epoch_takes_every_item_once() -> None:
    for order in (Order(items(5), 16), Order(items(40), 16, labels_matter=True), Order(items(0), 16, labels_matter=True)):
        assert order.share is None
        assert sorted(torch.cat([order.at(step, seed=3) for step in range(10, 20)]).tolist()) == list(range(160))
