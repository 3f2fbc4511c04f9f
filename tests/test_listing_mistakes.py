"""What each of the seven mistakes of a widely copied VAE listing does, in numbers.

The listing and the right lines are in docs/from-the-formula-to-the-code.md. Every number that document quotes from here goes through
`quote`, which prints it and fails when the document says something else:

    python -m pytest tests/test_listing_mistakes.py -s

Nothing here imports the package: the truth is a closed form, an enumeration or linear algebra.
"""

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "from-the-formula-to-the-code.md"


def quote(text: str) -> None:
    """Print a measured sentence, and hold the document to it."""
    print(text)
    document = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert text in document, f"measured now: {text!r}, which {DOCUMENT.name} does not say: mend the document"


# A linear-Gaussian model, where all that a VAE approximates is known exactly: z ~ N(0, I_2), x|z ~ N(W z, s^2 I_4).
# The columns of W are orthogonal, so the dimensions of p(z|x) are independent: each has precision 1 + a with a = |w|^2 / s^2.
S = 0.5
W = S * torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
A = 4.0
VARIANCE = 1 / (1 + A)


def linear_gaussian_data(n: int) -> Tensor:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(n, 2, generator=g, dtype=torch.float64)
    return z @ W.T + S * torch.randn(n, 4, generator=g, dtype=torch.float64)


def exact_log_prob(x: Tensor) -> Tensor:
    cov = W @ W.T + S**2 * torch.eye(4, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), cov).log_prob(x)


def expected_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor, w: Tensor = W) -> Tensor:
    """E_q[log p(x|z)] in closed form."""
    spread = ((x - mean @ w.T) ** 2).sum(-1) + (log_var.exp() * (w**2).sum(0)).sum(-1)
    return -0.5 * spread / S**2 - 0.5 * 4 * math.log(2 * math.pi * S**2)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) per dimension; checked against torch in the test of the sign."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var)


def minimise(loss: Callable[[], Tensor], parameters: list[Tensor], steps: int, lr: float) -> float:
    optimiser = torch.optim.Adam(parameters, lr=lr)
    value = math.nan
    for _ in range(steps):
        optimiser.zero_grad()
        step_loss = loss()
        step_loss.backward()
        optimiser.step()
        value = step_loss.item()
    return value


# (i) one layer for the mean and the log-variance


def test_i_a_shared_layer_ties_the_scale_to_the_mean() -> None:
    x = linear_gaussian_data(500)
    truth = exact_log_prob(x).mean().item()

    # The best that any encoder with log_var == mean could do: per item and dimension, min over m of KL(N(m, e^m) || N(mu, v)).
    # It is convex in m (a line, an exponential and a parabola), so the minimum found is the minimum.
    def least_gap(mu: float) -> float:
        def gap(m: float) -> float:
            return 0.5 * (math.log(VARIANCE) - m + (math.exp(m) + (m - mu) ** 2) / VARIANCE - 1)

        return float(minimize_scalar(gap, bounds=(-10, 10), method="bounded", options={"xatol": 1e-8}).fun)

    # Averaged over data by quadrature: the posterior mean is N(0, 1 - v) under the model.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    best = 2 * sum(w * least_gap(math.sqrt(1 - VARIANCE) * t) for t, w in zip(nodes, weights, strict=True)) / weights.sum()

    torch.manual_seed(0)
    right = nn.Linear(4, 2 * 2).double()  # its own weights for the mean and for the log-variance
    hidden = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2)).double()  # a larger network, but one output for both

    def right_loss() -> Tensor:
        mean, log_var = right(x).chunk(2, dim=-1)
        return -(expected_log_likelihood(x, mean, log_var) - gaussian_kl(mean, log_var).sum(-1)).mean()

    def shared_loss() -> Tensor:
        mean = log_var = hidden(x)
        return -(expected_log_likelihood(x, mean, log_var) - gaussian_kl(mean, log_var).sum(-1)).mean()

    means = x @ W / S**2 * VARIANCE  # of p(z|x)
    floor = sum(least_gap(mu) for mu in means.flatten().tolist()) / len(x)
    right_gap = truth + minimise(right_loss, list(right.parameters()), 400, 0.02)
    shared_gap = truth + minimise(shared_loss, list(hidden.parameters()), 400, 0.02)
    print(f"below log p(x): {right_gap:.5f} nats with two heads, {shared_gap:.3f} with a shared one, which on these items cannot pass {floor:.3f}")
    assert -1e-9 < right_gap < 1e-3
    assert floor - 1e-6 < shared_gap < floor + 0.05
    assert floor == pytest.approx(best, abs=0.2)  # 500 items stand for the expectation over data
    quote(f"no encoder with a shared layer comes closer than {best:.2f} nats")


# (ii) z drawn from the prior, not from q


def plug_in_information(a: Tensor, b: Tensor) -> float:
    """The mutual information of two discrete variables, from counts, in nats."""
    joint = torch.zeros(int(a.max()) + 1, int(b.max()) + 1, dtype=torch.float64).index_put_((a, b), torch.tensor(1.0).double(), accumulate=True)
    joint /= joint.sum()
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint[joint > 0] * (joint / independent)[joint > 0].log()).sum())


def test_ii_a_code_drawn_from_the_prior_says_nothing_about_x() -> None:
    # Eight images: three random bits, each drawn twice. log p(x) is -log 8, and each pixel alone is a fair coin.
    images = torch.tensor([bits * 2 for bits in product([0.0, 1.0], repeat=3)], dtype=torch.float64)
    labels = torch.arange(8).repeat(500)
    results = {}
    for name in ("q", "prior"):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 6)).double()
        decoder = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 6)).double()

        def reconstruct(x: Tensor, source: str = name, e: nn.Module = encoder, d: nn.Module = decoder) -> tuple[Tensor, Tensor]:
            mean, log_var = e(x).chunk(2, dim=-1)
            noise = torch.randn_like(mean)
            z = mean + (0.5 * log_var).exp() * noise if source == "q" else noise
            return d(z), gaussian_kl(mean, log_var).sum(-1)

        def loss(reconstruct: Callable[[Tensor], tuple[Tensor, Tensor]] = reconstruct) -> Tensor:
            x = images.repeat(32, 1)
            logits, kl = reconstruct(x)
            return (-Bernoulli(logits=logits).log_prob(x).sum(-1) + kl).mean()

        logits, _ = reconstruct(images)
        Bernoulli(logits=logits).log_prob(images).sum().backward()
        has_gradient = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in encoder.parameters()]
        minimise(loss, [*encoder.parameters(), *decoder.parameters()], 600, 0.01)
        with torch.no_grad():
            value = float(np.mean([loss().item() for _ in range(50)]))
            drawn = torch.bernoulli(reconstruct(images[labels])[0].sigmoid())
            index = (drawn @ (2.0 ** torch.arange(6).double())).long()
            torch.manual_seed(1)
            first = reconstruct(images[:1])[0]
            torch.manual_seed(1)
            last = reconstruct(images[-1:])[0]
        information = plug_in_information(labels, index)
        shuffled = max(plug_in_information(labels[torch.randperm(len(labels))], index) for _ in range(200))
        results[name] = (has_gradient, value, information, shuffled, torch.equal(first, last))
        print(f"z from {name}: -ELBO {value:.3f}, I(x; reconstruction) {information:.3f}, largest of 200 shuffles {shuffled:.3f}")

    gradient, value, information, shuffled, same = results["q"]
    assert all(gradient)
    assert not same
    assert math.log(8) < value < 3  # -ELBO >= -log p(x) = log 8
    assert information > 1 > shuffled
    gradient, value, information, shuffled, same = results["prior"]
    assert not any(gradient)  # the reconstruction gives the encoder no gradient at all
    assert same  # the same noise gives the same picture, bit for bit, whatever was encoded
    assert information < shuffled  # no more than labels drawn out of a hat
    assert value == pytest.approx(6 * math.log(2), abs=0.02)  # six fair coins: the entropy of each pixel alone, all it can learn
    quote(f"{results['q'][2]:.1f} nats about which of the eight images was encoded")
    quote(f"the bound falls from {-results['q'][1]:.1f} to {-value:.1f} nats")


# (iii) categorical cross-entropy over pixels


def test_iii_categorical_cross_entropy_over_pixels_is_no_density_of_the_image() -> None:
    images = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64)  # all 16 binary images of 2x2

    def categorical(logits: Tensor, x: Tensor) -> Tensor:
        return -(x * logits.log_softmax(-1)).sum(-1)

    def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(logits.expand_as(x), x, reduction="none").sum(-1)

    for values in ([0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 0.0], [40.0, 0.0, 0.0, 0.0]):
        logits = torch.tensor(values, dtype=torch.float64)
        assert (-bernoulli(logits, images)).exp().sum().item() == pytest.approx(1, abs=1e-12)
        total = (-categorical(logits, images)).exp().sum().item()
        assert total == pytest.approx((1 + logits.softmax(-1)).prod().item(), rel=1e-12)  # expand the product: one term an image
        assert total >= 2 - 1e-12
        assert categorical(logits, images[0]).item() == 0  # the black image is "certain", whatever the decoder says
    uniform = (-categorical(torch.zeros(4).double(), images)).exp().sum().item()
    quote(f"sums to {uniform:.2f} over the sixteen 2x2 images")

    # Pixels that are on with these probabilities: what does each loss make of them?
    probability = torch.tensor([0.9, 0.9, 0.1, 0.1], dtype=torch.float64)
    weight = Bernoulli(probability).log_prob(images).sum(-1).exp()
    found = {}
    for name, loss in (("categorical", categorical), ("bernoulli", bernoulli)):
        logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        minimise(lambda loss=loss, logits=logits: (weight * loss(logits, images)).sum(), [logits], 1500, 0.05)
        found[name] = (logits.softmax(-1) if name == "categorical" else logits.sigmoid()).detach()
    assert torch.allclose(found["bernoulli"], probability, atol=1e-4)
    assert torch.allclose(found["categorical"], probability / probability.sum(), atol=1e-4)  # only the ratios are learnt
    quote(f"a pixel that is on with probability 0.90 is learnt as {found['categorical'][0]:.2f}")
    entropy = -(probability * probability.log() + (1 - probability) * (1 - probability).log()).sum().item()
    p = found["categorical"]
    cost = -(probability * p.log() + (1 - probability) * (1 - p).log()).sum().item()
    quote(f"costs {cost - entropy:.2f} nats on these four pixels")


# (iv) the sign of the KL, and a mean where a sum belongs


def test_iv_a_reversed_kl_has_no_optimum() -> None:
    mean, log_var = torch.tensor([0.3, -1.2]).double(), torch.tensor([-0.7, 0.4]).double()
    right = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(torch.zeros(2).double(), 1.0))
    assert torch.allclose(gaussian_kl(mean, log_var), right, atol=1e-14)
    listing = 0.5 * (1 + log_var - mean**2 - log_var.exp()).mean()  # as the listing adds it to its loss
    assert listing.item() == pytest.approx(-right.sum().item() / 2, abs=1e-14)  # minus the KL, over D = 2

    x = linear_gaussian_data(1)
    w = W * torch.tensor([1.0, 0.0])  # the decoder reads the first dimension only: the other is free to run
    history: dict[str, list[tuple[float, float]]] = {"right": [], "listing": []}
    for name, sign in (("right", 1.0), ("listing", -0.5)):
        mean = torch.full((1, 2), 0.1, dtype=torch.float64, requires_grad=True)
        log_var = torch.full((1, 2), -0.1, dtype=torch.float64, requires_grad=True)

        def loss(m: Tensor = mean, v: Tensor = log_var, sign: float = sign) -> Tensor:
            return (-expected_log_likelihood(x, m, v, w) + sign * gaussian_kl(m, v).sum(-1)).mean()

        for _ in range(3):
            value = minimise(loss, [mean, log_var], 400, 0.05)
            history[name].append((value, gaussian_kl(mean, log_var).sum().item()))
        if name == "right":
            # p(z|x): precision 1 + a where the decoder looks, the prior where it does not.
            exact_mean = torch.stack([(x @ w)[0, 0] / S**2 * VARIANCE, torch.tensor(0.0).double()])
            assert torch.allclose(mean.detach()[0], exact_mean, atol=1e-3)
            assert torch.allclose(log_var.detach().exp()[0], torch.tensor([VARIANCE, 1.0]).double(), atol=1e-3)
        else:
            assert log_var[0, 0].item() < -30  # a point where the decoder looks
            assert mean[0, 1].item() > 30  # far from the prior where it does not
    print({k: [(round(a, 2), f"{b:.3g}") for a, b in v] for k, v in history.items()})
    assert history["right"][2][1] == pytest.approx(history["right"][1][1], abs=1e-3)  # it has arrived
    assert history["listing"][2][1] > 5 * history["listing"][0][1] > 2000  # it never will
    assert history["listing"][2][0] < history["listing"][0][0] - 1000

    # Along one axis, exactly: as the log-variances fall by one, the listing's loss falls by D / (2 D), for ever.
    def listing_loss(log_var: float) -> float:
        m, v = torch.zeros(1, 2).double(), torch.full((1, 2), log_var).double()
        return float(-expected_log_likelihood(x, m, v) - 0.5 * gaussian_kl(m, v).sum())

    assert listing_loss(-50.0) - listing_loss(-1050.0) == pytest.approx(500, abs=1e-9)
    right_kl, listing_kl = history["right"][2][1], history["listing"][2][1]
    quote(f"the KL rests at {right_kl:.2f} nats with the right sign and climbs past {round(listing_kl, -2):.0f} with the listing's")


@pytest.mark.parametrize(("d", "variance", "nats"), [(2, 1 / 9, 0.19), (32, 1 / 129, 40.32)])
def test_iv_an_averaged_kl_is_too_weak_by_the_number_of_dimensions(d: int, variance: float, nats: float) -> None:
    # One dimension of the linear-Gaussian model; c is the least-squares code. Loss: a ((m - c)^2 + v) / 2 + KL(N(m, v) || N(0, 1)) / divisor.
    c = 1.5
    found = {}
    for divisor in (1, d):
        mean, log_var = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))

        def loss(m: Tensor = mean, v: Tensor = log_var, divisor: int = divisor) -> Tensor:
            return 0.5 * A * ((m - c) ** 2 + v.exp()) + gaussian_kl(m, v) / divisor

        minimise(loss, [mean, log_var], 2000, 0.05)
        found[divisor] = (mean.item(), math.exp(log_var.item()))
    assert found[1] == pytest.approx((c * A / (A + 1), VARIANCE), abs=1e-4)  # the true posterior
    assert found[d] == pytest.approx((c * A / (A + 1 / d), variance), abs=1e-4)
    # What that costs in the ELBO is KL(q || p(z|x)), averaged over data, where c is N(0, 1 + 1/a), and summed over the d dimensions.
    slope = {k: mean / c for k, (mean, _) in found.items()}  # the optimal mean is linear in c
    codes = math.sqrt(1 + 1 / A) * torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, posterior = (Normal(slope[k] * codes, math.sqrt(found[k][1])) for k in (d, 1))
    measured = d * kl_divergence(q, posterior).mean().item()
    shift = A / (A + 1 / d) - A / (A + 1)
    cost = d * 0.5 * (variance / VARIANCE - 1 - math.log(variance / VARIANCE) + shift**2 * (1 + 1 / A) / VARIANCE)
    assert measured == pytest.approx(cost, rel=0.01)
    assert cost == pytest.approx(nats, abs=0.005)
    quote(f"D = {d}: posterior variance {variance:.4f} where the truth is {VARIANCE:.4f}, which costs {cost:.2f} nats")


# (v) a log-variance from nowhere

LISTING = """
def encode(h, layer):
    mean, log_var = layer(h).chunk(2, dim=-1)
    return mean, log_var

def loss(mean):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
"""
MENDED = LISTING.replace("def loss(mean):", "def loss(mean, log_var):")


def test_v_a_name_its_scope_does_not_define() -> None:
    scope: dict[str, Any] = {}
    exec(LISTING, scope)
    torch.manual_seed(0)
    h, layer = torch.randn(5, 3), nn.Linear(3, 2 * 2)
    mean, log_var = scope["encode"](h, layer)
    with pytest.raises(NameError, match="name 'log_var' is not defined"):
        scope["loss"](mean)

    # Worse, because silent: a notebook where an earlier cell left a variable of that name.
    scope["log_var"] = torch.zeros(5, 2)
    stale = scope["loss"](mean)
    assert torch.autograd.grad(stale, log_var, allow_unused=True, retain_graph=True) == (None,)  # the scale is never trained
    (weight,) = torch.autograd.grad(stale, layer.weight, retain_graph=True)
    assert weight[2:].abs().sum() == 0 < weight[:2].abs().sum()

    exec(MENDED, scope)
    right = scope["loss"](mean, log_var)
    (gradient,) = torch.autograd.grad(right, log_var)
    assert torch.allclose(gradient, 0.5 * (log_var.exp() - 1), atol=1e-7)
    exact = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum()
    assert right.item() == pytest.approx(exact.item(), rel=1e-5)
    assert abs(stale.item() - exact.item()) > 0.1
    quote(f"reports a KL of {stale.item():.2f} nats where it is {exact.item():.2f}")


# (vi) 32x32 against 28x28


def transposed_size(n: int, *, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    return (n - 1) * stride - 2 * padding + kernel + output_padding


def test_vi_a_decoder_must_return_the_shape_of_the_data() -> None:
    for n, kernel, stride, padding, output_padding in product((1, 4, 7), (2, 3, 4), (1, 2, 3), (0, 1), (0, 1)):
        if output_padding < stride:
            layer = nn.ConvTranspose2d(1, 1, kernel, stride, padding, output_padding)
            size = transposed_size(n, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding)
            if size > 0:
                assert layer(torch.zeros(1, 1, n, n)).shape[-1] == size

    def decoder(*output_padding: int) -> nn.Sequential:
        return nn.Sequential(*(nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=p) for p in output_padding))

    def sizes(net: nn.Sequential, x: Tensor) -> list[int]:
        seen = [x.shape[-1]]
        for layer in net:
            x = layer(x)
            seen.append(x.shape[-1])
        return seen

    torch.manual_seed(0)
    code, x = torch.randn(2, 1, 4, 4), torch.bernoulli(torch.full((2, 1, 28, 28), 0.3))
    listing, right = decoder(1, 1, 1), decoder(0, 1, 1)
    assert sizes(listing, code) == [4, 8, 16, 32]
    assert sizes(right, code) == [4, 7, 14, 28]
    encoder = nn.Sequential(*(nn.Conv2d(1, 1, 3, stride=2, padding=1) for _ in range(3)))
    assert sizes(encoder, x) == [28, 14, 7, 4]  # the right decoder is its mirror image

    loss = nn.functional.binary_cross_entropy_with_logits
    assert loss(right(code), x).ndim == 0
    with pytest.raises(ValueError, match="must be the same as input size"):
        loss(listing(code), x)
    with pytest.raises(RuntimeError, match="must match the size"):
        listing(code).flatten(1) - x.flatten(1)  # 1024 numbers against 784

    # The usual patch, cropping, leaves pixels that are computed and never trained.
    picture = listing(code).detach().requires_grad_()
    loss(picture[..., 2:30, 2:30], x, reduction="sum").backward()
    assert picture.grad is not None
    untouched = int((picture.grad[0] == 0).sum())
    assert untouched == 32 * 32 - 28 * 28
    quote(f"{untouched} of the 1024 pixels, {untouched / 1024:.1%}, get no gradient")

    # The other patch, padding the data with black, counts pixels that nobody doubts: the same nats, fewer bits a pixel.
    nats = 157
    bits = [nats / math.log(2) / pixels for pixels in (784, 1024)]
    quote(f"{bits[0]:.3f} bits per pixel becomes {bits[1]:.3f}")


# (vii) transposed convolutions with nothing between them


def test_vii_linear_layers_in_a_row_are_one_linear_layer() -> None:
    torch.manual_seed(0)
    layers = [nn.ConvTranspose2d(i, o, 3, stride=2).double() for i, o in ((8, 8), (8, 4), (4, 1))]
    linear = nn.Sequential(*layers)
    relu = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def superposition_defect(f: nn.Module, a: Tensor, b: Tensor) -> float:
        zero = f(torch.zeros_like(a))
        return float((f(a + b) - f(a) - f(b) + zero).norm() / (f(a + b) - zero).norm())

    a, b = torch.randn(2, 1, 8, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        defect = superposition_defect(linear, a, b), superposition_defect(relu, a, b)
        assert defect[0] < 1e-14
        assert defect[1] > 0.1
        quote(f"f(a+b) differs from f(a) + f(b) - f(0) by {defect[1]:.0%}")

        # Which one layer: stride 2*2*2, and for a kernel the picture of a single lit input, of side 15.
        kernel = linear(torch.eye(8, dtype=torch.float64).reshape(8, 8, 1, 1)) - linear(torch.zeros(1, 8, 1, 1).double())
        assert kernel.shape == (8, 1, 15, 15)
        one = nn.functional.conv_transpose2d(a, kernel, stride=8) + linear(torch.zeros_like(a))
        assert torch.allclose(one, linear(a), atol=1e-13)
        assert not torch.allclose(nn.functional.conv_transpose2d(a, kernel, stride=8) + relu(torch.zeros_like(a)), relu(a), atol=0.01)

        # From features that span r dimensions, pictures that span r: the stack adds no shape that was not there before it.
        features = (torch.randn(200, 3, dtype=torch.float64) @ torch.randn(3, 8 * 16, dtype=torch.float64)).reshape(200, 8, 4, 4)
        ranks = []
        for f in (linear, relu):
            pictures = f(features).flatten(1)
            singular = torch.linalg.svdvals(pictures - pictures.mean(0))
            ranks.append(int((singular > 1e-10 * singular[0]).sum()))
        assert ranks[0] == 3
        assert ranks[1] > 100
        quote(f"pictures span {ranks[0]} dimensions without a nonlinearity and {ranks[1]} with ReLU")


# The document and the example


def test_the_document_quotes_lines_that_the_example_has() -> None:
    example = {line.split("  #")[0].strip() for line in (ROOT / "examples" / "minivae.py").read_text().splitlines()}
    blocks = DOCUMENT.read_text(encoding="utf-8").split("```python\n# examples/minivae.py")[1:]
    assert len(blocks) >= 5
    for block in blocks:
        for line in block.split("```")[0].splitlines()[1:]:
            assert not line.strip() or line.strip() in example, f"{line.strip()!r} is not in examples/minivae.py"


def test_the_example_fits_on_two_screens() -> None:
    text = (ROOT / "examples" / "minivae.py").read_text()
    assert len(text.splitlines()) <= 150
    assert "vaeworks" not in text
