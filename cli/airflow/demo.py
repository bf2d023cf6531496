"""`tick airflow demo`: run every DAG once with the real scheduler, in its own folder, and print a
table of the runs.
"""


def demo() -> None:
    """Start Flink and Airflow, load history, run every DAG, print a table, stop everything.

    State goes to TICK_HOME/airflow-demo, which is emptied first. The signal in its ticks is
    planted, and its power data is synthetic. The vision DAGs are skipped: they need `make
    install-vision` and their data. Exit code 1 when a run failed.
    """
    from rich.console import Console

    from cli.exit_codes import FAILED, exit_if
    from cli.isolated_home import create_isolated_home
    from cli.reports.airflow_tables import runs_table
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings as user_settings
    from stack import platform
    from stack.airflow_demo import VISION_DAGS, run_airflow_demo
    from stack.process import airflow_environment

    airflow_environment.airflow_python(user_settings())  # fail at once if Airflow is not installed
    settings = create_isolated_home("airflow-demo")
    console = Console()
    try:
        with progress_bars() as progress:
            runs = run_airflow_demo(settings, progress)
    finally:
        platform.down(settings)
    console.print(runs_table(runs))
    console.print(
        "[dim]the signal of the ticks is planted, without market impact and capacity limits; the"
        " power data is synthetic[/]"
    )
    console.print(
        f"skipped: {', '.join(VISION_DAGS)} (run `make install-vision`, then `tick airflow run …"
        " --set data=…`)"
    )
    exit_if(any(run["state"] != "success" for run in runs), FAILED)
