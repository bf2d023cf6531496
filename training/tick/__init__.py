"""The tick model: data sets, forecasters, evaluation, drift, and the pipeline of training steps."""
