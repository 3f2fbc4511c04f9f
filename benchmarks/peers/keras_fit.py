"""Keras's VAE example (keras.io/examples/generative/vae) on TensorFlow: a Model with its own train_step, trained by `fit`.

Written after that example with this network in place of its own; images are float32 in memory, as there. Weights start from PyTorch's distribution so
that losses compare. The mode `eager-graph` turns XLA off, which Keras would choose by itself.
"""

import os

from protocol import Clock, arguments, load_images

given = arguments()
os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_NUM_INTRAOP_THREADS": str(given.threads)}

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(given.threads)
tf.config.threading.set_inter_op_parallelism_threads(given.threads)
keras.utils.set_random_seed(0)
workload = given.workload
start = {"kernel_initializer": keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")}
active = {"activation": workload.activation, **start}


class Sampling(layers.Layer):  # type: ignore[misc]
    """Uses (z_mean, z_log_var) to sample z."""

    def __init__(self) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """A reparameterised draw."""
        z_mean, z_log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


def build_encoder() -> keras.Model:
    """Images to (mean, log-variance, sample)."""
    inputs = keras.Input((28, 28, 1))
    x = inputs
    for width in workload.convolutions:
        x = layers.Conv2D(width, 3, strides=2, padding="same", **active)(x)
    x = layers.Flatten()(x)
    for width in workload.hidden:
        x = layers.Dense(width, **active)(x)
    z_mean = layers.Dense(workload.latent, **start)(x)
    z_log_var = layers.Dense(workload.latent, **start)(x)
    return keras.Model(inputs, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])])


def build_decoder() -> keras.Model:
    """Latents to pixel probabilities."""
    inputs = keras.Input((workload.latent,))
    x = inputs
    for width in reversed(workload.hidden):
        x = layers.Dense(width, **active)(x)
    if workload.convolutions:
        channels = workload.convolutions[-1]
        side = 28 >> len(workload.convolutions)
        x = layers.Reshape((side, side, channels))(layers.Dense(channels * side * side, **active)(x))
        for width in reversed(workload.convolutions):
            x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", **active)(x)
        x = layers.Conv2D(1, 3, padding="same", activation="sigmoid", **start)(x)
    else:
        x = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid", **start)(x))
    return keras.Model(inputs, x)


class VAE(keras.Model):  # type: ignore[misc]
    """The example's model."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = build_encoder(), build_decoder()
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss", "kl_loss")}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means, reset at each epoch."""
        return list(self.trackers.values())

    def train_step(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step."""
        with tf.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            reconstruction = self.decoder(z)
            reconstruction_loss = ops.mean(ops.sum(keras.losses.binary_crossentropy(data, reconstruction), axis=(1, 2)))
            kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
        gradients = tape.gradient(total_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.metrics, (total_loss, reconstruction_loss, kl_loss), strict=True):
            tracker.update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


class Timer(keras.callbacks.Callback):  # type: ignore[misc]
    """Reads the clock at the end of every epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stops `fit` when time is up."""
        self.model.stop_training = clock.epoch_ended(float((logs or {})["loss"]))


images = load_images(given.images)[..., None].astype("float32") / 255
clock = Clock(given, len(images))
vae = VAE()
vae.compile(optimizer=keras.optimizers.Adam(), jit_compile=False if given.mode == "eager-graph" else "auto")
vae.fit(images, epochs=10**6, batch_size=workload.batch, verbose=0, callbacks=[Timer()])
clock.report()
