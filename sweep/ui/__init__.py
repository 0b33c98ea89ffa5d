"""Show a stored sweep in the MLflow UI."""
