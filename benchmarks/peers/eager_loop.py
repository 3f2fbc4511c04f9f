"""A plain eager PyTorch loop as a careful person writes it: images in memory, fused Adam, channels_last, one `.item()` an epoch."""

from protocol import Clock, arguments, load_images

given = arguments()  # before torch is imported, so that it sees the number of threads

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_networks import Decoder, Encoder  # noqa: E402

torch.set_num_threads(given.threads)
torch.manual_seed(0)
workload = given.workload
vae = nn.ModuleDict({"encoder": Encoder(workload), "decoder": Decoder(workload)}).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
images = torch.from_numpy(load_images(given.images)).unsqueeze(1)
clock = Clock(given, len(images))
finished = False
while not finished:
    total = torch.zeros(())
    for rows in torch.randperm(len(images)).split(workload.batch):
        x = images[rows].float().div(255).contiguous(memory_format=torch.channels_last)
        mean, log_variance = vae["encoder"](x)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        logits = vae["decoder"](z)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        loss = (reconstruction + kl) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(x)
    finished = clock.epoch_ended(total.item() / len(images))
if given.save:
    np.savez(given.save, **{name: value.numpy(force=True) for name, value in vae.state_dict().items()})
clock.report()
