"""Imported before all else by a model that forks: it keeps other modules from hooking fork().

threading, logging and random register fork hooks that rebuild locks and state in every child. A
parent that forks for each client has no other threads, so nothing needs them; without the hooks a
child copies 0.35 MB less.
"""

import os
from os import fork as fork

os.register_at_fork = lambda **hooks: None
