"""The report of a sweep: tables, pictures and pages, built from the store alone.

    data, axes, curves   StoredSweep + StoredRun -> one table of runs, one of grid points (pandas)
    answer, results      what they say, in words and tables
    tables, compare      exact frames for the CSV files; two sweeps side by side
    figures/             one module a picture: its data and its drawing (matplotlib)
    content, pages       the sections of a page; HTML and Markdown from templates/ (Jinja2)
    formats, colours     how numbers are written, and every colour
    build                the files of a report, and of a comparison

The package itself imports nothing: `sweep.report.colours` also colours the runs in MLflow.
"""
