"""A vaeworks model trained by Lightning: ten lines around parts that are plain ``nn.Module``s.

pip install lightning
python examples/lightning_vae.py --epochs 20
"""

from __future__ import annotations

import argparse
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.likelihoods import BernoulliLikelihood
from vaeworks.networks import MLP
from vaeworks.objectives import IWAE, Objective
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import MixturePrior


class LightningVAE(lightning.LightningModule):  # type: ignore[misc, unused-ignore]
    """Any VAE with any objective."""

    def __init__(self, vae: VAE, objective: Objective):
        super().__init__()
        self.vae, self.objective = vae, objective

    def training_step(self, x: Any, index: int) -> Tensor:
        loss: Tensor = self.objective(self.vae(Batch(x[0]), self.objective.samples), Batch(x[0])).value
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def main() -> None:
    """Train on binarised digits and print the bound before and after, in nats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs
    lightning.seed_everything(0, verbose=False)
    posterior, likelihood = DiagonalNormalPosterior(8), BernoulliLikelihood((1, 8, 8), levels=2)
    encoder = Encoder(MLP((1, 8, 8), posterior.parameter_shape), posterior)
    model = LightningVAE(VAE(encoder, Decoder(MLP((8,), likelihood.parameter_shape), likelihood), MixturePrior(8)), IWAE(samples=5))
    x = torch.from_numpy(load_digits().images > 7)[:, None].float()
    with torch.no_grad():
        first = float(model.training_step([x], 0))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(TensorDataset(x), batch_size=128, shuffle=True))
    with torch.no_grad():
        print(f"{first:.2f} -> {float(model.training_step([x], 0)):.2f}")


if __name__ == "__main__":
    main()
