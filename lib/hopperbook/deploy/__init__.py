"""What to do on Monday: the commands, manifests and scripts of a plan, as text ready to be run."""

from hopperbook.deploy.files import WHAT, files
from hopperbook.deploy.questions import questions

__all__ = ["WHAT", "files", "questions"]
