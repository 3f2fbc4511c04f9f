"""A variational autoencoder in one file: the whole idea, nothing hidden.

An item x is explained by a code z that nobody observes:

    p(z) = N(0, I)                   the prior: where codes come from
    p(x|z) = Decoder(z)              the likelihood: what a code looks like
    p(x) = E_p(z)[p(x|z)]            what we want to be large for real data, and cannot compute
    q(z|x) = Encoder(x)              a guess at p(z|x), which makes it computable

Training maximises the ELBO, a lower bound on log p(x); then many samples from q bring the bound close to log p(x) itself.
Derivations, beside the lines below: docs/from-the-formula-to-the-code.md.

    python examples/minivae.py --epochs 100 --out minivae-out --seed 0

Shapes: K samples of the code, B items in a batch, D latent dimensions, 64 pixels.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

PIXELS, HIDDEN, LATENT = 64, 256, 8


class Encoder(nn.Module):
    """q(z|x) = N(mean(x), diag exp(log_var(x))), a distribution with batch shape (B,) and event shape (D,)."""

    def __init__(self) -> None:
        super().__init__()
        # 2 * LATENT outputs: the mean and the log-variance each have weights of their own, or they could not vary apart.
        self.net = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))

    def forward(self, x: Tensor) -> Distribution:
        mean, log_var = self.net(x).chunk(2, dim=-1)
        # The network is free to give any real number; exp makes a positive scale of it.
        return Independent(Normal(mean, (0.5 * log_var).exp()), 1)


class Decoder(nn.Module):
    """p(x|z) = prod_i Bernoulli(x_i | sigmoid(logit_i(z))): given the code, pixels are independent."""

    def __init__(self) -> None:
        super().__init__()
        # Without the ReLUs this would be one linear map, and the logits of all images would lie in the same D-dimensional plane.
        self.net = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))

    def forward(self, z: Tensor) -> Distribution:
        # Logits, not probabilities: log(sigmoid) is computed without ever rounding to log(0). Independent sums over pixels.
        return Independent(Bernoulli(logits=self.net(z)), 1)


class VAE(nn.Module):
    """Three distributions are the whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)

    def elbo(self, x: Tensor, k: int = 1) -> Tensor:
        """E_q[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x), in nats, one number an item: (B,)."""
        q = self.encoder(x)
        z = q.rsample((k,))  # (K, B, D); mean + scale * noise, so gradients reach the encoder through z
        reconstruction: Tensor = self.decoder(z).log_prob(x).mean(0)  # a Monte Carlo estimate of the expectation
        # Both are Gaussian, so this expectation needs no samples. It is a sum over D, for the joint density is a product.
        kl: Tensor = 0.5 * (q.mean**2 + q.variance - 1 - q.variance.log()).sum(-1)
        return reconstruction - kl

    def log_prob(self, x: Tensor, k: int) -> Tensor:
        """log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q: in expectation still below log p(x), but the gap closes as K grows."""
        q = self.encoder(x)
        z = q.rsample((k,))
        log_w: Tensor = self.decoder(z).log_prob(x) + self.prior().log_prob(z) - q.log_prob(z)  # (K, B)
        return log_w.logsumexp(0) - math.log(k)  # in log space: p(x|z) itself would underflow for large images


def load() -> tuple[Tensor, Tensor]:
    """Pixel intensities in [0, 1]: 1437 training digits and 360 held out, the same split whatever the seed."""
    images = np.asarray(load_digits().data, dtype=np.float32) / 16
    intensities = torch.from_numpy(images[np.random.default_rng(0).permutation(len(images))])
    return intensities[360:], intensities[:360]


def binarise(intensity: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw each pixel on or off. A Bernoulli is a probability of on and off, and of nothing in between."""
    return torch.bernoulli(intensity, generator=generator)


def train(vae: VAE, intensity: Tensor, epochs: int) -> None:
    """Follow the gradient of the ELBO uphill, a batch of about 64 digits at a time."""
    optimiser = torch.optim.Adam(vae.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(epochs, 1))
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(intensity)).chunk(len(intensity) // 64):
            x = binarise(intensity[rows])  # a fresh draw each epoch: 1437 digits are few, and this keeps them from being learnt by heart
            loss = -vae.elbo(x).mean()  # maximising the bound is minimising its negative
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            optimiser.step()
            total -= loss.item() * len(x)
        schedule.step()
        if epoch % max(epochs // 10, 1) == 0:
            print(f"epoch {epoch:4d}  train ELBO {total / len(intensity):7.2f} nats  {time.perf_counter() - start:5.1f} s", flush=True)


@torch.no_grad()
def report(vae: VAE, intensity: Tensor, held_out: Tensor, out: Path) -> None:
    """Say how probable digits are that training never saw, and draw some that nobody wrote."""
    x = binarise(held_out, torch.Generator().manual_seed(0))  # drawn once, the same for every seed, so that runs compare
    pixels: Distribution = Independent(Bernoulli(intensity.mean(0).clamp(1e-3, 1 - 1e-3)), 1)  # what a model without a code achieves
    elbo = torch.cat([vae.elbo(part, 1000) for part in x.chunk(10)])  # in parts, for K * B decoded images fill the memory
    log_p = torch.cat([vae.log_prob(part, 1000) for part in x.chunk(10)])
    print(f"{len(x)} held-out digits, binarised once, K = 1000 samples of z; nats per item, mean +- standard error over items")
    rows = {"log p(x), independent pixels": pixels.log_prob(x), "ELBO": elbo, "log p(x), importance sampling": log_p, "gap": log_p - elbo}
    for name, nats in rows.items():
        print(f"{name:30s} {nats.mean():8.2f} +- {nats.std() / math.sqrt(len(nats)):.2f}")

    # Generating: a code from the prior, then the decoder. Shown are the means; a draw from p(x|z) would be black and white.
    digits = nn.functional.pad(vae.decoder(vae.prior().sample((8 * 16,))).mean.reshape(8, 16, 8, 8), (1, 1, 1, 1), value=0.3)
    grid = (digits.permute(0, 2, 1, 3).reshape(8 * 10, 16 * 10) * 255).byte().numpy()
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).resize((16 * 60, 8 * 60), Image.Resampling.NEAREST).save(out / "samples.png")
    print(f"128 digits drawn from the prior: {out / 'samples.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("minivae-out"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_digits, held_out_digits = load()
    model = VAE()
    train(model, train_digits, args.epochs)
    report(model, train_digits, held_out_digits, args.out)
