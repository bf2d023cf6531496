"""The settings by topic; each function takes the narrowest group that it needs."""
