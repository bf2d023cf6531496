"""Model training and monitoring: tick, power and vision models, drift, daily statistics."""
