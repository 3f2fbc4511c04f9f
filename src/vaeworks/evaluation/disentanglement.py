"""Whether each dimension of a code is about one factor of variation, and each factor in one dimension: six scores, for data whose factors are known.

Shape legend: N items, D code dimensions, F factors.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "DCI",
    "CodeSampler",
    "CodeTable",
    "Codes",
    "Disentanglement",
    "beta_vae_score",
    "dci",
    "disentanglement",
    "factor_vae_score",
    "mig",
    "modularity",
    "mutual_informations",
    "sap",
]

BINS = 20
"""Equal bins that a code dimension is cut into where information is estimated (Locatello et al. 2019, arXiv:1811.12359)."""
STEPS = 2**16
"""Equal steps, from its least to its greatest value, that a dimension is rounded to where thresholds part it: float32 matrix products err by a hundredth of one."""
ROWS = 4096
"""Items encoded at a time."""


class Codes(ABC):
    """Codes of items whose factors are known, drawn as scores want them."""

    @property
    @abstractmethod
    def factors(self) -> int:
        """F."""

    @abstractmethod
    def some(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes (n, D) of items drawn uniformly."""

    @abstractmethod
    def sharing(self, which: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Codes (V, size, D): for each of ``which`` (V,), a factor, ``size`` items with one value of it in common, the others drawn."""


class CodeTable(Codes):
    """Codes (N, D) and factors (N, F) of given items, drawn with replacement."""

    def __init__(self, codes: Tensor, factors: Tensor):
        self.codes, self.values = _checked(codes, factors)
        self.order = self.values.argsort(dim=0, stable=True)

    @property
    def factors(self) -> int:
        return self.values.shape[1]

    def some(self, n: int, generator: torch.Generator) -> Tensor:
        return self.codes[torch.randint(len(self.codes), (n,), generator=generator)]

    def sharing(self, which: Tensor, size: int, generator: torch.Generator) -> Tensor:
        first = torch.randint(len(self.codes), (len(which),), generator=generator)
        chance = torch.rand(len(which), size, generator=generator, dtype=torch.float64)
        out = self.codes.new_empty(len(which), size, self.codes.shape[1])
        for k in range(self.factors):
            rows = which == k
            values, value = self.values[:, k], self.values[first[rows], k]
            in_order = values[self.order[:, k]].contiguous()
            start, end = torch.searchsorted(in_order, value), torch.searchsorted(in_order, value, right=True)
            position = start[:, None] + (chance[rows] * (end - start)[:, None]).long()
            out[rows] = self.codes[self.order[position, k]]
        return out


class CodeSampler(Codes):
    """Codes of factors drawn uniformly: ``encode`` maps factors (n, F) to codes (n, D), by way of a renderer say; factor k has the values 0 .. sizes[k] - 1."""

    def __init__(self, encode: Callable[[Tensor], Tensor], sizes: Sequence[int]):
        if len(sizes) < 2 or min(sizes) < 2:
            raise ValueError(f"sizes={tuple(sizes)}: at least two factors of at least two values each are needed")
        self.encode, self.sizes = encode, torch.tensor(sizes)

    @property
    def factors(self) -> int:
        return len(self.sizes)

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        chance = torch.rand(*shape, len(self.sizes), generator=generator, dtype=torch.float64)
        drawn: Tensor = (chance * self.sizes).long()
        return drawn

    def _codes(self, factors: Tensor) -> Tensor:
        return torch.cat([self.encode(piece).detach().cpu() for piece in factors.split(ROWS)])

    def some(self, n: int, generator: torch.Generator) -> Tensor:
        return self._codes(self._draw((n,), generator))

    def sharing(self, which: Tensor, size: int, generator: torch.Generator) -> Tensor:
        factors = self._draw((len(which), size), generator)
        common = factors[:, :1].gather(2, which[:, None, None])
        factors.scatter_(2, which[:, None, None].expand(-1, size, 1), common.expand(-1, size, 1))
        codes = self._codes(factors.flatten(0, 1))
        return codes.view(len(which), size, codes.shape[1])


@dataclass(frozen=True)
class DCI:
    """Scores in [0, 1] (Eastwood & Williams 2018, ICLR)."""

    disentanglement: float
    """1 - the entropy, over factors, of a dimension's importances; the mean over dimensions, weighted by what they matter."""
    completeness: float
    """1 - the entropy, over dimensions, of a factor's importances; the mean over factors, 0 for one that no dimension matters to."""
    informativeness: float
    """How well the codes foretell the factors of held-out items: R^2 not below 0 (lasso), accuracy (boosting); the mean over factors."""
    importances: Tensor
    """(D, F), not negative."""
    predictor: str


@dataclass(frozen=True)
class Disentanglement:
    """All scores of one representation, each at best 1."""

    mig: float
    dci: DCI
    sap: float
    modularity: float
    factor_vae: float
    beta_vae: float
    chance: float
    """What ``factor_vae`` and ``beta_vae`` are where codes know nothing: 1 / F (a little more for the first, a majority vote); the others are 0 then."""
    items: int
    seed: int


def disentanglement(codes: Tensor, factors: Tensor, *, categorical: Collection[int] = (), seed: int = 0) -> Disentanglement:
    """Every score of codes (N, D) for factors (N, F), integers; ``categorical`` are the factors whose values have no order."""
    table = CodeTable(codes, factors)
    return Disentanglement(
        mig=mig(codes, factors),
        dci=dci(codes, factors, categorical=categorical, seed=seed),
        sap=sap(codes, factors, categorical=categorical, seed=seed),
        modularity=modularity(codes, factors),
        factor_vae=factor_vae_score(table, seed=seed),
        beta_vae=beta_vae_score(table, seed=seed),
        chance=1 / table.factors,
        items=len(codes),
        seed=seed,
    )


def mutual_informations(codes: Tensor, factors: Tensor, bins: int = BINS) -> Tensor:
    """I(z_j; v_k) in nats, (D, F), each dimension of the codes cut into ``bins`` equal ones between its least and greatest value; biased upwards by about bins V / 2 N."""
    codes, factors = _checked(codes, factors)
    low, high = codes.amin(0), codes.amax(0)
    cut = ((codes - low) / (high - low).clamp_min(torch.finfo(codes.dtype).tiny) * bins).long().clamp(0, bins - 1)
    out = torch.zeros(codes.shape[1], factors.shape[1], dtype=torch.float64)
    for k in range(factors.shape[1]):
        sizes = int(factors[:, k].max()) + 1
        for j in range(codes.shape[1]):
            joint = torch.bincount(cut[:, j] * sizes + factors[:, k], minlength=bins * sizes).double().view(bins, sizes) / len(codes)
            out[j, k] = _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.flatten())
    return out.clamp_min(0)


def mig(codes: Tensor, factors: Tensor, bins: int = BINS) -> float:
    """Mutual information gap (Chen et al. 2018, arXiv:1802.04942): how much more the best dimension knows of a factor than the next, relative to its entropy; the mean over factors.

    At most log(bins) / log(V) for a factor of V > bins equally frequent values.
    """
    _, values = _checked(codes, factors)
    information = mutual_informations(codes, factors, bins)
    if len(information) < 2:
        information = torch.cat([information, torch.zeros_like(information)])
    entropy = torch.stack([_entropy(torch.bincount(column).double() / len(column)) for column in values.T])
    best = information.topk(2, 0).values
    return float(((best[0] - best[1]) / entropy).mean())


def modularity(codes: Tensor, factors: Tensor, bins: int = BINS) -> float:
    """Modularity (Ridgeway & Mozer 2018, arXiv:1802.05312): 1 - sum_{k not best} I(z_j; v_k)^2 / (I(z_j; v_best)^2 (F - 1)); the mean over dimensions, 0 for one that knows nothing.

    It asks of each dimension that it is about one factor, not that it knows much of it: codes of noise are scored by the bias of estimated information.
    """
    squares = mutual_informations(codes, factors, bins).square()
    best = squares.amax(1)
    others = (squares.sum(1) - best) / (squares.shape[1] - 1)
    return float(torch.where(best > 0, 1 - others / best.clamp_min(torch.finfo(best.dtype).tiny), 0).mean())


def sap(codes: Tensor, factors: Tensor, *, categorical: Collection[int] = (), seed: int = 0) -> float:
    """Separated attribute predictability (Kumar et al. 2018, arXiv:1711.00848): how much better one dimension foretells a factor than the next best; the mean over factors.

    A prediction is scored by R^2 of a line, that of a ``categorical`` factor of V values by the balanced accuracy, on held-out items, of V - 1 thresholds: a perfect code is
    scored 1, or 1 - 1 / V.
    """
    codes, factors = _checked(codes, factors)
    scores = _squared_correlations(codes, factors.double())
    for k in categorical:
        scores[:, k] = torch.tensor([_threshold_accuracy(column, factors[:, k], seed) for column in codes.T])
    if len(scores) < 2:
        baseline = torch.tensor([1 / len(factors[:, k].unique()) if k in categorical else 0.0 for k in range(factors.shape[1])], dtype=scores.dtype)
        scores = torch.cat([scores, baseline[None]])
    best = scores.topk(2, 0).values
    return float((best[0] - best[1]).mean())


def dci(
    codes: Tensor,
    factors: Tensor,
    *,
    categorical: Collection[int] = (),
    predictor: Literal["lasso", "boosting"] = "lasso",
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018, ICLR), from the importance of each dimension for foretelling each factor.

    predictor: ``lasso``, the size of scikit-learn's LassoCV coefficients on codes of unit variance, as in the paper, where a ``categorical`` factor is one column a value; it
    sees only what grows or falls with a factor, or with one value of a ``categorical`` one. ``boosting``, the feature importances of scikit-learn's GradientBoostingClassifier
    (Locatello et al. 2019, arXiv:1811.12359), which sees anything and takes minutes.

    Half of the items are held out, to measure informativeness.
    """
    codes, factors = _checked(codes, factors)
    inputs = _standardised(codes).numpy()
    held_out = np.zeros(len(inputs), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(len(inputs))[: len(inputs) // 2]] = True
    importances = np.zeros((codes.shape[1], factors.shape[1]))
    foretold = []
    for k, column in enumerate(factors.T.numpy()):
        if predictor == "boosting":
            importances[:, k], score = _boosting(inputs, column, held_out, seed)
        else:
            targets = np.stack([column == value for value in np.unique(column)], -1) if k in categorical else column[:, None]
            importances[:, k], score = _lasso(inputs, targets.astype(float), held_out)
        foretold.append(score)
    known = torch.from_numpy(importances)
    weight = known.sum(1) / known.sum().clamp_min(torch.finfo(known.dtype).tiny)
    return DCI(
        disentanglement=float((weight * _concentration(known)).sum()),
        completeness=float(_concentration(known.T).mean()),
        informativeness=float(np.mean(foretold)),
        importances=known,
        predictor=predictor,
    )


def factor_vae_score(codes: Codes, *, votes: int = 800, size: int = 64, seed: int = 0) -> float:
    """The FactorVAE score (Kim & Mnih 2018, arXiv:1802.05983): the share of held-out votes in which the dimension that varies least tells which factor was held fixed.

    A vote: hold a random factor fixed in ``size`` items; of the dimensions, each measured in its standard deviation over all items, take the one of least variance. Which factor
    it stands for is learned from ``votes`` such votes by majority, and tested on as many. Dimensions that never change do not vote.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = codes.some(max(2 * size, 4096), generator).double().std(0)
    alive = spread > 1e-9 * spread.max()
    if not alive.any():
        return 1 / codes.factors
    which = torch.randint(codes.factors, (2 * votes,), generator=generator)
    variance = codes.sharing(which, size, generator).double().var(1)[:, alive] / spread[alive].square()
    least = variance.argmin(1)
    counts = torch.zeros(variance.shape[1], codes.factors)
    counts.index_put_((least[:votes], which[:votes]), torch.ones(votes), accumulate=True)
    return float((counts.argmax(1)[least[votes:]] == which[votes:]).double().mean())


def beta_vae_score(codes: Codes, *, votes: int = 400, size: int = 64, seed: int = 0) -> float:
    """The beta-VAE score (Higgins et al. 2017, ICLR): the accuracy, on held-out votes, of a linear classifier that tells which factor was held fixed.

    A vote: hold a random factor fixed in each of ``size`` pairs of items; the input is |z - z'|, the mean over pairs. The classifier is logistic regression on inputs of unit
    variance, learned from ``votes`` votes and tested on as many.
    """
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(codes.factors, (2 * votes,), generator=generator)
    pairs = codes.sharing(which.repeat_interleave(size), 2, generator).double()
    inputs = _standardised((pairs[:, 0] - pairs[:, 1]).abs().unflatten(0, (-1, size)).mean(1)).numpy()
    labels = which.numpy()
    from sklearn.linear_model import LogisticRegression

    known = LogisticRegression(max_iter=1000).fit(inputs[:votes], labels[:votes])
    return float(known.score(inputs[votes:], labels[votes:]))


def _checked(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in float64 and factors as numbers 0 .. V - 1, on the CPU. ValueError where they do not go together."""
    if codes.dim() != 2 or factors.dim() != 2 or len(codes) != len(factors):
        raise ValueError(f"codes of shape {tuple(codes.shape)} and factors of shape {tuple(factors.shape)}: give (N, D) and (N, F) of the same items")
    if factors.is_floating_point():
        raise ValueError(f"factors of type {factors.dtype}: give integers, a number for each value")
    if not codes.isfinite().all():
        raise ValueError(f"{int((~codes.isfinite().all(1)).sum())} of {len(codes)} codes hold NaN or infinity: leave these items out")
    numbers = torch.stack([column.unique(return_inverse=True)[1] for column in factors.cpu().T], 1) if factors.shape[1] else factors
    constant = [k for k in range(numbers.shape[1]) if not numbers[:, k].any()]
    if constant or numbers.shape[1] < 2:
        raise ValueError(f"of {numbers.shape[1]} factors {constant} never change: give two or more that do")
    return codes.detach().cpu().double(), numbers


def _entropy(p: Tensor) -> Tensor:
    """In nats, of probabilities (V,)."""
    terms: Tensor = torch.special.entr(p)
    return terms.sum()


def _standardised(codes: Tensor) -> Tensor:
    """Of mean zero and unit variance, dimensions that never change left at zero."""
    spread = codes.std(0)
    return torch.where(spread > 0, (codes - codes.mean(0)) / spread.clamp_min(torch.finfo(codes.dtype).tiny), 0)


def _squared_correlations(codes: Tensor, factors: Tensor) -> Tensor:
    """(D, F)."""
    correlations: Tensor = _standardised(codes).T @ _standardised(factors) / (len(codes) - 1)
    return correlations.square()


def _threshold_accuracy(code: Tensor, factor: Tensor, seed: int) -> float:
    """Balanced accuracy, on the held-out half, of a tree of as many leaves as the factor has values; codes that only rounding tells apart are one, and no threshold parts them."""
    from sklearn.tree import DecisionTreeClassifier

    values = int(factor.max()) + 1
    code = ((code - code.min()) / (code.max() - code.min()).clamp_min(torch.finfo(code.dtype).tiny) * STEPS).round()
    order = torch.randperm(len(code), generator=torch.Generator().manual_seed(seed))
    first, second = order.tensor_split(2)
    tree = DecisionTreeClassifier(max_leaf_nodes=values, class_weight="balanced", random_state=seed).fit(
        code[first, None].numpy(), factor[first].numpy()
    )
    right = torch.from_numpy(tree.predict(code[second, None].numpy())) == factor[second]
    total, found = torch.bincount(factor[second], minlength=values), torch.bincount(factor[second][right], minlength=values)
    return float((found[total > 0] / total[total > 0]).mean())


def _lasso(inputs: NDArray[Any], targets: NDArray[Any], held_out: NDArray[np.bool_]) -> tuple[NDArray[Any], float]:
    """Sizes of coefficients (D,), summed over the columns of ``targets``, and R^2 on held-out items, not below 0.

    The penalty is the largest whose error is within a standard error of the least (Breiman et al. 1984), so that noise gets no importance at all.
    """
    from sklearn.linear_model import Lasso, LassoCV

    importances, scores = np.zeros(inputs.shape[1]), []
    for target in targets.T:
        spread = target[~held_out].std()
        if spread == 0:
            continue
        scaled = (target - target[~held_out].mean()) / spread
        path = LassoCV(alphas=np.geomspace(1e-3, 0.5, 8), cv=5).fit(inputs[~held_out], scaled[~held_out])
        error = path.mse_path_.mean(1)
        best = error.argmin()
        within = error <= error[best] + path.mse_path_[best].std(ddof=1) / math.sqrt(path.mse_path_.shape[1])
        known = Lasso(path.alphas_[within].max()).fit(inputs[~held_out], scaled[~held_out])
        importances += abs(known.coef_)
        scores.append(max(0.0, float(known.score(inputs[held_out], scaled[held_out]))))
    return importances, float(np.mean(scores)) if scores else 0.0


def _boosting(inputs: NDArray[Any], target: NDArray[Any], held_out: NDArray[np.bool_], seed: int) -> tuple[NDArray[Any], float]:
    """Feature importances (D,) and accuracy on held-out items."""
    from sklearn.ensemble import GradientBoostingClassifier

    known = GradientBoostingClassifier(random_state=seed).fit(inputs[~held_out], target[~held_out])
    return known.feature_importances_, float(known.score(inputs[held_out], target[held_out]))


def _concentration(importances: Tensor) -> Tensor:
    """1 - H(row) / log(columns) of each row made to sum to one, (rows,); 0 for a row of zeros, and 1 where there is one column and a row not zero."""
    total = importances.sum(1, keepdim=True)
    p = importances / total.clamp_min(torch.finfo(importances.dtype).tiny)
    share = torch.special.entr(p).sum(1) / max(math.log(importances.shape[1]), torch.finfo(importances.dtype).tiny)
    return torch.where(total[:, 0] > 0, 1 - share, 0)
