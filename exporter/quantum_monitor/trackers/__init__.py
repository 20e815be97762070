"""Trackers: a run's store delivered to MLflow, Weights & Biases and plug-ins, by another process, with nothing lost."""
