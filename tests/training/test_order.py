"""Which items a step takes."""

from __future__ import annotations

import torch

from vaeworks.data import Items
from vaeworks.training.order import LABELLED_EVERY, NOISE, Order


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


def of_lengths(lengths: torch.Tensor) -> Items:
    return Items(torch.zeros(len(lengths), int(lengths.max()), dtype=torch.int16), lengths=lengths)


def padding(order: Order, lengths: torch.Tensor) -> float:
    """The share of an epoch's places that no item fills."""
    batches = [lengths[order.at(step, seed=3)] for step in range(order.epoch_steps)]
    return 1 - sum(float(b.sum()) for b in batches) / sum(len(b) * int(b.max()) for b in batches)


def test_batches_of_items_of_one_length_take_every_item_once_and_need_little_padding() -> None:
    lengths = torch.randint(1, 101, (6400,), generator=torch.Generator().manual_seed(2))
    alike, any_order = Order(of_lengths(lengths), 32), Order(Items(torch.zeros(6400, 1)), 32)
    epochs = [[alike.at(epoch * 200 + step, seed=3).clone() for step in range(200)] for epoch in (4, 5)]
    for epoch in epochs:
        assert sorted(torch.cat(epoch).tolist()) == list(range(6400))
    assert padding(any_order, lengths) > 0.45  # the mean of the lengths over nearly their greatest
    assert (
        padding(alike, lengths) < 0.5 * NOISE + 0.04
    )  # an item is shorter than the longest of its batch by half the noise at the mean, and by a batch's share of the window
    first = torch.stack([lengths[batch].double().mean() for batch in epochs[0]])
    assert (
        abs(float(torch.corrcoef(torch.stack([first, torch.arange(200.0, dtype=torch.float64)]))[0, 1])) < 0.25
    )  # batches of a length come at any time
    company = [{frozenset(batch.tolist()) for batch in epoch} for epoch in epochs]
    assert not company[0] & company[1]


def test_an_order_by_length_depends_on_seed_and_step_alone() -> None:
    lengths = torch.randint(1, 30, (333,), generator=torch.Generator().manual_seed(2))
    through, resumed = Order(of_lengths(lengths), 16), Order(of_lengths(lengths), 16)
    steps = [through.at(step, seed=1).tolist() for step in range(60)]
    assert [resumed.at(step, seed=1).tolist() for step in range(37, 60)] == steps[37:]
    assert through.at(37, seed=2).tolist() != steps[37]
    for start in (0, 20, 40):
        assert len({item for step in steps[start : start + 20] for item in step}) == 320  # 13 of 333 fill no batch; they are others each time
