"""The leaf every other package leans on: ticks, features, topics, settings and errors; imports nothing heavy."""
