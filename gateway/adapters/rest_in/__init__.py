"""The HTTP door: receive, and everything else that parties ask over REST."""
