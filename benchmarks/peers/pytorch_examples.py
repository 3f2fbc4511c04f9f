"""The training loop of pytorch/examples/vae: DataLoader, default Adam, sigmoid then binary cross-entropy, `.item()` at each step.

Written from knowledge of that example, with this network and batch in place of its own. One thing differs and favours it: an item is converted
from a uint8 array in memory (as torchvision's ToTensor does), where the example first makes a PIL image of it.
"""

from protocol import Clock, arguments, load_images

given = arguments()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn, optim  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402
from torch_networks import Decoder, Encoder  # noqa: E402


class Images(Dataset[tuple[Tensor, int]]):
    """Images (1, 28, 28) in [0, 1] with a label."""

    def __init__(self) -> None:
        self.data = torch.from_numpy(load_images(given.images))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.data[index].unsqueeze(0).to(torch.float32).div(255), 0


class VAE(nn.Module):
    """The example's model around this workload's networks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(given.workload)
        self.decoder = Decoder(given.workload)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean, log-variance."""
        mu, logvar = self.encoder(x)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.decoder(z)), mu, logvar


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Summed over dimensions and over the batch, as in the example."""
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


torch.set_num_threads(given.threads)
torch.manual_seed(1)
train_loader = DataLoader(Images(), batch_size=given.workload.batch, shuffle=True)
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
clock = Clock(given, len(Images()))
finished = False
while not finished:
    model.train()
    train_loss = 0.0
    for batch_index, (data, _) in enumerate(train_loader):
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
        if batch_index % 10 == 0:
            print(f"[{batch_index}/{len(train_loader)}] loss {loss.item() / len(data):.6f}")
    finished = clock.epoch_ended(train_loss / clock.images_an_epoch)
clock.report()
