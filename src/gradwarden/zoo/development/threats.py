"""What the attacker may do to each kind of data."""

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

DIGITS = Threat(ball=Linf(0.1), box=(0.0, 1.0))
MOTION = Threat(ball=Linf(0.02), box=(0.0, 1.0))  # 0.16 g, 0.4 rad/s
MOTION_SMALL = Threat(ball=Linf(0.005), box=(0.0, 1.0))
# Two answers about the website, of nine.
PHISHING = Threat(ball=L0(2), box=(0.0, (2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0)))
THYROID = Threat(ball=Linf(0.02), box=(0.0, 1.0))
PHISHING_SCORES = Threat(ball=Linf(0.3), box=PHISHING.box)
