"""Day-ahead power consumption by LightGBM."""
