"""What MLflow says when it does not do what it was asked to."""

from __future__ import annotations

REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
NOT_MLFLOW = "the server answers, but not as MLflow does: is the tracking URI that of MLflow?"


class MlflowError(Exception):
    """MLflow did not do what it was asked to; trying again may help."""


def code(error: Exception) -> str:
    """MLflow's own word for what went wrong; empty for an error that is not MLflow's."""
    return str(getattr(error, "error_code", ""))
