"""The live page: a Dash application in a process of its own, which reads the stores of a folder."""
