"""Plan, train and record sweeps and single runs."""
