"""Estimators: what a trained model, its codes and its samples are worth, with the errors that belong to each figure."""

from vaeworks.evaluation.annealed import Annealed, Sandwich, annealed_log_prob, bidirectional
from vaeworks.evaluation.anomalies import STATISTICS, Reference, Statistic, benjamini_hochberg, conformal_p_values, typicality_p_values
from vaeworks.evaluation.backgrounds import Background, fit_background, restore_background
from vaeworks.evaluation.calibration import Calibration, calibration
from vaeworks.evaluation.conditioning import FEW, Evidence, Filled, Proposals, fill, propose
from vaeworks.evaluation.disentanglement import (
    DCI,
    Codes,
    CodeSampler,
    CodeTable,
    Disentanglement,
    beta_vae_score,
    dci,
    disentanglement,
    factor_vae_score,
    mig,
    modularity,
    mutual_informations,
    sap,
)
from vaeworks.evaluation.figures import ACTIVE_VARIANCE, Figure, Figures, evaluate, posterior_means
from vaeworks.evaluation.gaps import Gaps, gaps, optimised_features
from vaeworks.evaluation.importance import LogProb, log_prob
from vaeworks.evaluation.information import Information, information, jackknife
from vaeworks.evaluation.probes import Probe, linear_probe, nearest_neighbours
from vaeworks.evaluation.samples import (
    PIXELS,
    DensityCoverage,
    Features,
    PrecisionRecall,
    SampleScores,
    classifier_features,
    compare_samples,
    density_coverage,
    frechet,
    frechet_distance,
    precision_recall,
)
from vaeworks.evaluation.streams import item_batches, item_seeds
from vaeworks.evaluation.studies import STUDIES, Setting, Study, further
from vaeworks.evaluation.tables import row_figures, table_figures
from vaeworks.evaluation.texts import beside_language_model, text_figures

__all__ = [
    "ACTIVE_VARIANCE",
    "DCI",
    "FEW",
    "PIXELS",
    "STATISTICS",
    "STUDIES",
    "Annealed",
    "Background",
    "Calibration",
    "CodeSampler",
    "CodeTable",
    "Codes",
    "DensityCoverage",
    "Disentanglement",
    "Evidence",
    "Features",
    "Figure",
    "Figures",
    "Filled",
    "Gaps",
    "Information",
    "LogProb",
    "PrecisionRecall",
    "Probe",
    "Proposals",
    "Reference",
    "SampleScores",
    "Sandwich",
    "Setting",
    "Statistic",
    "Study",
    "annealed_log_prob",
    "benjamini_hochberg",
    "beside_language_model",
    "beta_vae_score",
    "bidirectional",
    "calibration",
    "classifier_features",
    "compare_samples",
    "conformal_p_values",
    "dci",
    "density_coverage",
    "disentanglement",
    "evaluate",
    "factor_vae_score",
    "fill",
    "fit_background",
    "frechet",
    "frechet_distance",
    "further",
    "gaps",
    "information",
    "item_batches",
    "item_seeds",
    "jackknife",
    "linear_probe",
    "log_prob",
    "mig",
    "modularity",
    "mutual_informations",
    "nearest_neighbours",
    "optimised_features",
    "posterior_means",
    "precision_recall",
    "propose",
    "restore_background",
    "row_figures",
    "sap",
    "table_figures",
    "text_figures",
    "typicality_p_values",
]
