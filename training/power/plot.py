"""Plot of forecasts and actual power, drawn without a display."""

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.power.features import HOURS_A_DAY

SHOWN_DAYS = 14


def plot_forecast(test: pl.DataFrame, title: str) -> Figure:
    """Hourly power and forecast of the last two weeks (upper), daily MAE of all days (lower).

    `test` has event_time_us, kw and forecast_kw; both plots are in kW.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1])
    hours = test.with_columns(pl.from_epoch("event_time_us", time_unit="us").alias("time"))
    recent = hours.tail(SHOWN_DAYS * HOURS_A_DAY)
    times = recent["time"].to_numpy()
    upper.plot(times, recent["kw"].to_numpy(), label="power", linewidth=1.2)
    upper.plot(times, recent["forecast_kw"].to_numpy(), label="day-ahead forecast", linewidth=1.0)
    upper.set(title=title, ylabel="kW")
    upper.legend(loc="upper left", fontsize="small")
    error = (pl.col("forecast_kw") - pl.col("kw")).abs().mean().alias("error")
    daily = hours.group_by(pl.col("time").dt.date().alias("day"), maintain_order=True).agg(error)
    lower.bar(daily["day"].to_numpy(), daily["error"].to_numpy(), width=0.8)
    lower.set(ylabel="daily MAE, kW", xlabel="UTC")
    return figure
