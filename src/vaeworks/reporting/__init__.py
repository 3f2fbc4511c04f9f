"""Reporting: picture sheets, the latent map, and the page that tells how a run went."""

from vaeworks.reporting.latent_map import latent_map, quantile_grid
from vaeworks.reporting.pictures import grid, pairs, png, rows, save_png, strip
from vaeworks.reporting.report import Report, render, save_report

__all__ = ["Report", "grid", "latent_map", "pairs", "png", "quantile_grid", "render", "rows", "save_png", "save_report", "strip"]
