"""What the image app does behind its page: limits, seeds, both sides from the same noise, stopping."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest

from studio.apps.painting import LARGEST_SEED, Studio, Wish
from studio.core.errors import UserError
from studio.core.workspace import Workspace
