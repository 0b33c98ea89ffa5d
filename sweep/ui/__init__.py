"""Open a stored sweep in MLflow's own page: links, and MLflow's server."""
