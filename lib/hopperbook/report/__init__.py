"""From chapters with parameters to a published report: execute, render, publish."""
