"""Open a stored sweep in MLflow's own page: the links that lead to it, and its server.

links       what is printed: the command and the addresses
server      MLflow's server as a child process that is never left behind
__main__    ``python -m sweep.ui``
"""

from sweep.ui.links import ADDRESS, ending_lines, ui_command

__all__ = ["ADDRESS", "ending_lines", "ui_command"]
