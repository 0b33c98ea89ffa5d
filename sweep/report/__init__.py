"""The report of a sweep: tables, pictures and pages, built from the store alone.

    data, axes, curves   StoredSweep + StoredRun -> one table of runs, one of grid points (pandas)
    answer, tables       what they say, in words and tables
    compare              two sweeps side by side
    figures/             one module a picture: its data and its drawing (matplotlib)
    files, pages         CSV; HTML and Markdown from templates/ (Jinja2)
    formats, colours     how numbers are written, and every colour
    build                what a report, or a comparison, says in which order

The package itself imports nothing: `sweep.report.colours` also colours the runs in MLflow.
"""
