"""The prediction API: predictions of the Production model on the online features of symbols."""
