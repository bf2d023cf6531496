"""The tick model: data set, splits, models, backtest, evaluation, and the pipeline of these
steps."""
