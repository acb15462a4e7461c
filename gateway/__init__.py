"""An open message gateway for Dutch debt assistance. Start at ``pipeline.py``."""
