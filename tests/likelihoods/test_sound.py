import torch

from vaeworks.likelihoods import SoundLikelihood


def test_maximum_likelihood_finds_the_lengths_and_the_noise_of_each_row(exact: None) -> None:
    """Spectrograms of three bands and four frames, of lengths 1, 2 and 4 at three, one and one in five, noise 0.1, 0.5 and 2."""
    likelihood = SoundLikelihood((1, 3, 4), 0)
    features = torch.zeros(likelihood.parameter_shape, requires_grad=True)
    scale, centre = torch.tensor([0.1, 0.5, 2.0])[:, None], torch.tensor([1.0, -1.0, 0.0])[:, None]
    lengths = torch.tensor([1, 1, 1, 2, 4]).repeat(100)
    x = centre + scale * torch.randn(500, 1, 3, 4)
    heard = (torch.arange(4) < lengths[:, None, None, None]).expand_as(x)
    optimizer = torch.optim.Adam([features, *likelihood.parameters()], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (-likelihood(features).marginal(heard).log_prob(x.masked_fill(~heard, torch.nan))).mean().backward()
        optimizer.step()
    p = likelihood(features)
    torch.testing.assert_close(p.logits.softmax(-1), torch.tensor([0.6, 0.2, 0.0, 0.2]), atol=0.02, rtol=0)
    mean = (x * heard).sum(0) / heard.sum(0)
    spread = (((x - mean).square() * heard).sum((0, 1, 3)) / heard.sum((0, 1, 3)).clamp_min(1)).nan_to_num().sqrt()
    torch.testing.assert_close(likelihood.log_scale.exp()[0, :, 0], spread, rtol=0.01, atol=0)
    assert p.mean[..., :1].isfinite().all()
    assert p.mean[..., 1:].isnan().all()
    torch.testing.assert_close(p.mean[..., :1], mean[..., :1], atol=0.02, rtol=0)


def test_single_precision_at_the_extremes() -> None:
    likelihood = SoundLikelihood((1, 800), 0, step=80)
    features = (100 * torch.randn(4, 2, 800)).requires_grad_()
    x = torch.randn(4, 1, 800)
    log_p = likelihood(features).log_prob(x)
    gradients = torch.autograd.grad(log_p.sum(), [features, *likelihood.parameters()])
    assert all(value.isfinite().all() for value in (log_p, *gradients))
