"""Features and a model to answers, one per symbol; knows nothing of HTTP."""
