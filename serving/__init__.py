"""The prediction API: online features and the Production model to one answer per symbol."""
