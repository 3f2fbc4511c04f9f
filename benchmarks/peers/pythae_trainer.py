"""pythae's own BaseTrainer on its own dataset, with this benchmark's networks; nothing of the trainer is changed."""

from protocol import Clock, arguments, load_images

given = arguments()

import contextlib  # noqa: E402
import tempfile  # noqa: E402

import torch  # noqa: E402
from pythae.data.datasets import BaseDataset  # noqa: E402
from pythae.trainers import BaseTrainer, BaseTrainerConfig  # noqa: E402
from pythae.trainers.training_callbacks import TrainingCallback  # noqa: E402
from pythae_networks import build  # noqa: E402


class Finished(Exception):  # noqa: N818
    """Time is up."""


class Timer(TrainingCallback):  # type: ignore[misc]
    """Reads the clock when the trainer logs an epoch."""

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **_: object) -> None:
        """At the end of every epoch."""
        if clock.epoch_ended(logs["train_epoch_loss"]):
            raise Finished


torch.set_num_threads(given.threads)
images = torch.from_numpy(load_images(given.images)).unsqueeze(1).float().div(255)
clock = Clock(given, len(images))
with tempfile.TemporaryDirectory() as folder:
    config = BaseTrainerConfig(output_dir=folder, num_epochs=10**6, learning_rate=1e-3, per_device_train_batch_size=given.workload.batch)
    trainer = BaseTrainer(build(given.workload), BaseDataset(images, torch.zeros(len(images))), training_config=config, callbacks=[Timer()])
    with contextlib.suppress(Finished):
        trainer.train()
clock.report()
