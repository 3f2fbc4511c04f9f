"""scikit-learn: the VAE as an estimator among its estimators, in pipelines, searches and data frames."""

from vaeworks.sklearn.estimator import VAE

__all__ = ["VAE"]
