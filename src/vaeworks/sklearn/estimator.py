"""VAE: a variational autoencoder as a scikit-learn transformer and density estimator."""

from __future__ import annotations

import dataclasses
import math
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from vaeworks.data import Data, Items
from vaeworks.errors import DataError, RecipeError, TrainingError, VaeworksError
from vaeworks.model import TableSchema
from vaeworks.recipes import build_objective, build_trainer, build_vae
from vaeworks.runs import Model, plan_recipe
from vaeworks.sklearn.inputs import Pixels, Rows, checked
from vaeworks.training import choose_device

__all__ = ["VAE"]

FEWEST_HELD_OUT = 5
"""Validation rows without which nothing is held out: fewer would choose the weights by luck."""
STREAM = threading.RLock()
"""Held by whoever draws from torch's one stream of random numbers: searches over threads would otherwise draw from each other's."""
FEWEST_STEPS, STEPS_PER_ROW = 100, 3
"""Of the default length of training."""


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114) that learns from rows (N, D), numbers or columns of any kind, some missing.

    ``transform`` gives posterior means, ``score_samples`` log p(x) in nats, ``sample`` new rows; ``score``, which a search maximises, is the mean log p(x) of what it is given.
    A column's kind is told by its cells: numbers on a grid, such as whole numbers, counts and categories, have probability masses, others densities in their own units.
    NaN, None and categories that training had not are missing, and marginalised out.

    recipe: the name of a built-in recipe or a TOML file; None: the one for tables, or for pictures of this size.
    latent_size: dimensions of the code; None: the recipe's.
    epochs: passes over the rows; None: as the recipe has it, but at most as many as make 3 steps a row, or 100 in all.
    max_minutes: shortens training to what fits.
    overrides: knobs of the recipe, {"objective.beta": 4}, or strings, ["objective.beta=4"].
    columns: what columns are where their cells do not tell, by name or position, {"age": "continuous", 3: "categorical"}; or one word for all.
    image_shape: (height, width) or (channels, height, width) where rows are the pixels of pictures, as in ``load_digits().data``; None: rows are a table.
    validation_fraction: share of rows held out to choose the best weights by; none where that is fewer than 5.
    samples: importance samples for each log p(x).
    random_state, device (auto, cpu, cuda, mps), verbose: as usual.

    Fitted: ``model_``, the Model of vaeworks, whose ``save`` is safe to share where pickle is not; ``history_``, a dictionary for each validation; ``notes_``, what was found and chosen.

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> vae = VAE(latent_size=2, epochs=5, samples=100, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(3, random_state=1).shape, vae.score_samples(X).shape
    ((150, 2), (3, 4), (150,))
    """

    def __init__(
        self,
        *,
        recipe: str | None = None,
        latent_size: int | None = None,
        epochs: int | None = None,
        max_minutes: float | None = None,
        overrides: Mapping[str, Any] | Iterable[str] | None = None,
        columns: Mapping[Any, str] | str | None = None,
        image_shape: tuple[int, ...] | None = None,
        validation_fraction: float = 0.1,
        samples: int = 1000,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: int | bool = 0,
    ):
        self.recipe = recipe
        self.latent_size = latent_size
        self.epochs = epochs
        self.max_minutes = max_minutes
        self.overrides = overrides
        self.columns = columns
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.samples = samples
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Learn from the rows X (N, D); ``y`` is not used. ValueError where they cannot be learned from, or a parameter is wrong."""
        with _as_value_errors():
            given, X = X, checked(self, X, reset=True, words=False)  # noqa: N806
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            validation = self.validation_fraction if round(self.validation_fraction * len(X)) >= FEWEST_HELD_OUT else 0.0
            form: Rows | Pixels
            if self.image_shape is None:
                form = rows = Rows.of(X, given, getattr(self, "feature_names_in_", None))
                data = rows.open(X, self.columns, validation, seed)
            elif isinstance(X, np.ndarray):
                form, data = Pixels.of(X, self.image_shape).open(X, validation, seed)
            else:
                raise ValueError("image_shape is for rows of pixels, and some columns are no numbers: leave it out")
            with STREAM, torch.random.fork_rng():
                ended = self._learn(data, seed)
            self._form = form
            self._n_features_out = self.model_.vae.latents.code_size
        if ended == "interrupted":  # what was learned so far is kept
            raise KeyboardInterrupt
        return self

    def _learn(self, data: Data, seed: int) -> str:
        """Train a model on ``data``; returns how training ended."""
        device = choose_device(self.device)
        recipe, choices = plan_recipe(data.schema, self.recipe, self._overrides())
        torch.manual_seed(seed)
        trainer, vae = build_trainer(recipe), build_vae(recipe, data.schema)
        if trainer.epochs is None:
            steps = max(1, len(data.train) // min(len(data.train), trainer.batch_size * trainer.accumulate))
            most = math.ceil(max(FEWEST_STEPS, STEPS_PER_ROW * len(data.train)) / steps)
            trainer.epochs = min(most, trainer.planned_epochs(steps, math.prod(data.schema.input_shape)))
        self.notes_ = (*data.notes, *choices)
        for note in self.notes_ if self.verbose else ():
            print(f"[VAE] {note}")
        try:
            history = trainer.fit(vae, build_objective(recipe), data, device=device, seed=seed, max_minutes=self.max_minutes)
        except (ValueError, NotImplementedError) as error:  # an objective that has met what it cannot weigh
            raise RecipeError(f"this combination of parts cannot be trained: {error}") from error
        if self.verbose:
            print(f"[VAE] {history.steps} steps, {history.seconds:.1f} s: {history.ended}")
        # in float64 a row's figures are the same whatever rows are beside it
        self.model_ = Model(vae if device.type == "mps" else vae.double(), data.schema, recipe, device=device)
        self.history_ = history.lines
        aside = [c.name for c in data.schema.table if c.kind in {"identifier", "text"}] if isinstance(data.schema, TableSchema) else []
        if aside:
            warnings.warn(
                f"columns {', '.join(aside[:10])} are identifiers or free text, which are not modelled: drop them, or say with columns= what they are",
                stacklevel=3,
            )
        return history.ended

    def _overrides(self) -> list[str]:
        """``overrides`` and the parameters that are knobs of every recipe, as recipes take them."""
        given = self.overrides or ()
        if isinstance(given, str):
            raise RecipeError(f"overrides={given!r} is one string: give a mapping, {{'objective.beta': 4}}, or a list of strings")
        told = [f"{key}={_toml(value)}" for key, value in given.items()] if isinstance(given, Mapping) else list(given)
        own = {"latent_size": self.latent_size, "training.epochs": self.epochs}
        return [*told, *(f"{key}={_toml(value)}" for key, value in own.items() if value is not None)]

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The posterior mean of each row, (N, latent_size)."""
        items = self._items(X)
        return self.model_.encode(items).double().numpy()

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """The mean of p(x | z) at codes X (N, latent_size), or what is nearest to it on the grid of a column: rows (N, D), in a data frame where fit was given one."""
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64, input_name="codes")
        with _as_value_errors():
            return self._form.back(self.model_.decode(torch.from_numpy(codes)), self.model_.schema)

    def reconstruct(self, X: Any) -> Any:  # noqa: N803
        """What is left of each row after encoding and decoding, in the form of ``inverse_transform``."""
        items = self._items(X)
        return self._form.back(self.model_.reconstruct(items), self.model_.schema)

    def sample(
        self,
        n_samples: int = 1,
        *,
        random_state: int | np.random.RandomState | None = None,
        temperature: float = 1.0,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """New rows (n_samples, D) drawn from the model, in the form of ``inverse_transform``.

        ``given`` by column: a value, a category or a range, ``{"x0": (1, 2), "sex": "F"}``. ``random_state`` None: the estimator's own.
        """
        check_is_fitted(self)
        source = self.random_state if random_state is None else random_state
        seed = int(check_random_state(source).randint(np.iinfo(np.int32).max))
        with _as_value_errors(), STREAM:
            return self._form.back(self.model_.sample(n_samples, temperature=temperature, seed=seed, given=given), self.model_.schema)

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """log p(x) of each row in nats (N,), by importance sampling (Burda et al. 2016, arXiv:1509.00519), the same at each call and whatever other rows X has."""
        items = self._items(X)
        with _as_value_errors(), STREAM:
            return self.model_.log_prob(items, self.samples).value.double().cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """The mean log p(x) of the rows in nats; ``y`` is not used."""
        return float(np.mean(self.score_samples(X)))

    def _items(self, X: Any) -> Items:  # noqa: N803
        check_is_fitted(self)
        X = checked(self, X, reset=False, words=isinstance(self._form, Rows) and self._form.words)  # noqa: N806
        with _as_value_errors():
            return self._form.items(X, self.model_.schema)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        model = state.get("model_")
        if model is not None and model.device.type != "cpu":  # so that a machine without the device can read it
            vae = build_vae(model.recipe, model.schema)
            vae.load_state_dict(model.vae.state_dict())
            state = {**state, "model_": Model(vae.double(), model.schema, model.recipe)}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = dataclasses.replace(tags.input_tags, allow_nan=self.image_shape is None, string=True, categorical=True)
        return tags


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What vaeworks finds wrong, as the exception that scikit-learn's users expect."""
    try:
        yield
    except TrainingError:
        raise
    except (DataError, RecipeError, VaeworksError) as error:
        raise ValueError(str(error)) from error


def _toml(value: Any) -> str:
    """A value as a recipe writes it."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, np.generic):
        value = value.item()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list | tuple) else repr(value) if not isinstance(value, str) else f'"{value}"'
